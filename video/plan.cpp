#include "video/plan.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "diffusion/adapter_choice.h"
#include "diffusion/guidance_interval.h"
#include "diffusion/prediction_names.h"
#include "diffusion/samplers.h"
#include "io/files/error.h"
#include "io/media/inspect.h"
#include "io/media/picture_map.h"
#include "io/media/time.h"
#include "temporal/noise.h"
#include "video/in_between.h"
#include "video/plan_lora.h"

namespace weft {
namespace {

std::string unknown_value(const std::string& text, const std::vector<std::string>& known) {
    if (std::find(known.begin(), known.end(), text) != known.end()) {
        return {};
    }
    return c10::str("unknown value '", text, "'; known: ", c10::Join(", ", known));
}

/// The names of a table's entries.
template <class Entry>
std::vector<std::string> names_of(std::span<const Entry> entries) {
    std::vector<std::string> names;
    for (const Entry& entry : entries) {
        names.emplace_back(entry.name);
    }
    return names;
}

std::string sampler_problem(const std::string& text) {
    return unknown_value(text, names_of(samplers()));
}

std::string spacing_problem(const std::string& text) {
    return unknown_value(text, spacing_names());
}

std::string prediction_problem(const std::string& text) {
    return unknown_value(text, prediction_names());
}

std::string rng_problem(const std::string& text) {
    return unknown_value(text, {"keyed", "torch"});
}

std::string noise_problem(const std::string& text) {
    return unknown_value(text, names_of(noise_kinds()));
}

std::vector<std::string> mode_names() {
    auto names = names_of(in_between_modes());
    names.insert(names.begin(), "auto");
    return names;
}

std::string mode_problem(const std::string& text) {
    return unknown_value(text, mode_names());
}

std::string preset_problem(const std::string& text) {
    return unknown_value(text, {"ultrafast", "superfast", "veryfast", "faster", "fast", "medium",
                                "slow", "slower", "veryslow"});
}

std::string rate_problem(const std::string& text) {
    return parse_rate(text) ? ""
                            : c10::str("'", text, "' is no frame rate; write 24 or 30000/1001");
}

/// What `parse`, which reads the text or throws, finds wrong with it.
template <class Parse>
std::string problem_of(Parse parse, const std::string& text) {
    try {
        parse(text);
        return {};
    } catch (const Error& error) {
        return error.what();
    }
}

std::string lora_problem(const std::string& text) {
    return problem_of(parse_plan_lora, text);
}

std::string lora_mode_problem(const std::string& text) {
    return unknown_value(text, {"merged", "unmerged"});
}

std::string embedding_problem(const std::string& text) {
    return problem_of(parse_embedding, text);
}

std::string interval_problem(const std::string& text) {
    return problem_of(parse_guidance_interval, text);
}

std::string size_problem(const std::string& text) {
    return parse_size(text) ? "" : c10::str("'", text, "' is no size; write WxH, each 16 to 8192");
}

std::string position_problem(const std::string& text) {
    try {
        Position::parse(text, "");
        return {};
    } catch (const UsageError& error) {
        return error.what();
    }
}

const std::vector<PlanField>& field_table() {
    static const std::vector<PlanField> fields{
        {"prompt", "Edit", "TEXT",
         "what the result should look like; a plan may change it over time", &Plan::prompt},
        {"negative", "Edit", "TEXT", "what it should not look like (default: nothing)",
         &Plan::negative},
        {"strength",
         "Edit",
         "S",
         "0 source untouched .. 1 full edit (default: the model's)",
         &Plan::strength,
         {0, 1}},
        {"guidance",
         "Edit",
         "G",
         "how closely to follow the prompt, 1 .. 30 (default: the model's)",
         &Plan::guidance,
         {1, 30}},
        {"image_guidance",
         "Edit, rare",
         "G",
         "how closely to keep the source, 0 .. 10 (default: the model's)",
         &Plan::image_guidance,
         {0, 10}},
        {"guidance_rescale",
         "Edit, rare",
         "R",
         "0 .. 1, against the overexposure of strong guidance (default: 0)",
         &Plan::guidance_rescale,
         {0, 1}},
        {"mode",
         "Edit",
         "KIND",
         c10::Join(", ", mode_names()) + ": frames between key frames (default: auto)",
         &Plan::mode,
         {},
         mode_problem},
        {"key_every",
         "Edit",
         "N",
         "frames from key frame to key frame, 1 .. 1000 (default: by the motion)",
         &Plan::key_every,
         {1, 1000}},
        {"detail",
         "Edit",
         "D",
         "the source's fine detail in edits that are enlarged, 0 .. 1 (default: 1)",
         &Plan::detail,
         {0, 1}},
        {"guidance_interval",
         "Edit, rare",
         "LO..HI",
         "noise levels, sigma / alpha, that guidance acts at, as 0.3..5 (default: all)",
         &Plan::guidance_interval,
         {},
         interval_problem},
        {"from",
         "Edit",
         "T",
         "first moment: 12.5, 1:02.5 or 90f (default: start)",
         &Plan::from,
         {},
         position_problem},
        {"to", "Edit", "T", "end, not included (default: end)", &Plan::to, {}, position_problem},
        {"model", "Model", "MODEL", "name, or folder in the diffusers layout (default: starter)",
         &Plan::model},
        {"lora",
         "Model",
         "FILE[:W]",
         "LoRA of weight W (1), over time 0@1..W@3; W:mid=0.5,up.1=1 weighs parts; repeatable",
         &Plan::lora,
         {},
         lora_problem},
        {"lora_mode",
         "Model, rare",
         "MODE",
         "merged, or unmerged: beside the weights, slower (default: merged but over time)",
         &Plan::lora_mode,
         {},
         lora_mode_problem},
        {"embedding",
         "Model, rare",
         "FILE",
         "FILE[:TOKEN], learned words for prompts, or a folder; may be repeated",
         &Plan::embedding,
         {},
         embedding_problem},
        {"clip_skip",
         "Model, rare",
         "N",
         "text states of the N-th last layer, 1 .. 24 (default: 1, the model's own)",
         &Plan::clip_skip,
         {1, 24}},
        {"vae", "Model, rare", "FILE", "another autoencoder, or TAESD (default: the model's own)",
         &Plan::vae},
        {"prediction",
         "Model, rare",
         "KIND",
         c10::Join(", ", prediction_names()) + ": what the network predicts (default: the model's)",
         &Plan::prediction,
         {},
         prediction_problem},
        {"steps",
         "Model",
         "N",
         "denoising steps, 1 .. 1000 (default: the model's)",
         &Plan::steps,
         {1, 1000}},
        {"cache_every",
         "Model, rare",
         "N",
         "run the deep layers at every N-th call only, 1 .. 20; faster, approximate (default: 1)",
         &Plan::cache_every,
         {1, 20}},
        {"merge_tokens",
         "Model, rare",
         "R",
         "share of the widest attention's tokens merged, 0 .. 0.75; approximate (default: 0)",
         &Plan::merge_tokens,
         {0, 0.75}},
        {"sampler",
         "Model",
         "NAME",
         c10::Join(", ", names_of(samplers())) + " (default: the model's)",
         &Plan::sampler,
         {},
         sampler_problem},
        {"spacing",
         "Model, rare",
         "NAME",
         c10::Join(", ", spacing_names()) + " (default: the model's)",
         &Plan::spacing,
         {},
         spacing_problem},
        {"eta",
         "Model, rare",
         "E",
         "fresh noise a step, 0 .. 1, of ddim, tcd, *_a and *_sde (default: theirs)",
         &Plan::eta,
         {0, 1}},
        {"size",
         "Model",
         "WxH",
         "box the model's picture is fitted into (default: the model's size)",
         &Plan::size,
         {},
         size_problem},
        {"seed",
         "Noise",
         "N",
         "0 .. 2^53; same seed, same result (default: 0)",
         &Plan::seed,
         {0, 0x1p53}},
        {"rng",
         "Noise, rare",
         "NAME",
         "keyed, or torch: the numbers PyTorch draws on a CPU (default: keyed)",
         &Plan::rng,
         {},
         rng_problem},
        {"noise",
         "Noise",
         "KIND",
         c10::Join(", ", names_of(noise_kinds())) + " over the frames (default: fixed)",
         &Plan::noise,
         {},
         noise_problem},
        {"noise_share",
         "Noise, rare",
         "A",
         "mixed: 0 own .. 10 shared noise (default: 1)",
         &Plan::noise_share,
         {0, 10}},
        {"colorspace",
         "Colour, rare",
         "IN[:MODEL[:OUT]]",
         "spaces of IN, of what the model sees and of OUT: ACEScg, logc3:sRGB:Rec.709",
         &Plan::colorspace,
         {},
         colorspace_problem},
        {"ocio", "Colour, rare", "CONFIG",
         "OpenColorIO configuration that names them (default: $OCIO, or builtin)", &Plan::ocio},
        {"codec",
         "Output",
         "NAME",
         c10::Join(", ", available_codecs()) + " (default: the container's)",
         &Plan::codec,
         {},
         codec_problem},
        {"crf", "Output", "Q", "0 best .. 63 smallest (default: 18 for h264)", &Plan::crf, {0, 63}},
        {"preset",
         "Output, rare",
         "NAME",
         "ultrafast .. veryslow (default: medium)",
         &Plan::preset,
         {},
         preset_problem},
        {"encoder_opts", "Output, rare", "K=V:..",
         "more options of libavcodec's encoder; pix_fmt too", &Plan::encoder_opts},
        {"container", "Output, rare", "NAME",
         "libav's name (default: by OUT's ending; pipes matroska)", &Plan::container},
        {"fps",
         "Output",
         "R",
         "re-time to this rate, 24 or 30000/1001 (default: untouched)",
         &Plan::fps,
         {},
         rate_problem},
        {"segment_frames",
         "Output",
         "N",
         "frames kept as one part, for resuming, 1 .. 10000 (default: 96)",
         &Plan::segment_frames,
         {1, 10000}},
    };
    return fields;
}

std::string out_of_range(double number, const Range& range) {
    if (number >= range.low && number <= range.high) {  // false for NaN
        return {};
    }
    return c10::str("must be from ", range.low, " to ", range.high, ", not ", number);
}

template <class T>
std::string first_problem(const PlanField& field, const T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
        return field.problem == nullptr ? std::string() : field.problem(value);
    } else {
        return out_of_range(static_cast<double>(value), field.range);
    }
}

template <class T>
std::string first_problem(const PlanField& field, const Curve<T>& curve) {
    double last_s = -1;
    for (const auto& key : curve.keys) {
        if (!(key.at_s >= 0) || key.at_s <= last_s) {
            return c10::str("key times must be 0 or more and rise; ", key.at_s, " does not");
        }
        last_s = key.at_s;
        if (auto problem = first_problem(field, key.value); !problem.empty()) {
            return problem;
        }
    }
    return curve.empty() ? "needs at least one key" : std::string();
}

template <>
std::string first_problem(const PlanField& field, const std::vector<std::string>& list) {
    for (const auto& text : list) {
        if (auto problem = first_problem(field, text); !problem.empty()) {
            return problem;
        }
    }
    return list.empty() ? "needs at least one entry" : std::string();
}

/// Converts what was written to what the member holds: a whole number serves as a number, a
/// constant as a curve. nullopt: they do not fit.
template <class To>
std::optional<To> converted(const PlanValue& value) {
    if (const auto* same = std::get_if<To>(&value)) {
        return *same;
    }
    if constexpr (std::is_same_v<To, double>) {
        if (const auto* whole = std::get_if<int64_t>(&value)) {
            return static_cast<double>(*whole);
        }
    } else if constexpr (std::is_same_v<To, Curve<double>>) {
        if (const auto number = converted<double>(value)) {
            return Curve<double>::constant(*number);
        }
    } else if constexpr (std::is_same_v<To, std::vector<std::string>>) {
        if (const auto text = converted<std::string>(value)) {
            return std::vector<std::string>{*text};
        }
    } else if constexpr (std::is_same_v<To, Curve<std::string>>) {
        if (const auto text = converted<std::string>(value)) {
            return Curve<std::string>::constant(*text);
        }
    }
    return std::nullopt;
}

template <class Held>
constexpr const char* expected_words() {
    if constexpr (std::is_same_v<Held, std::string> || std::is_same_v<Held, Curve<std::string>>) {
        return "must be a text";
    } else if constexpr (std::is_same_v<Held, std::vector<std::string>>) {
        return "must be a text or a list of texts";
    } else if constexpr (std::is_same_v<Held, int64_t>) {
        return "must be a whole number";
    } else {
        return "must be a number";
    }
}

template <class Held, class Member>
std::string assign_as(const PlanField& field, Plan& plan, Member Plan::*member,
                      const PlanValue& value) {
    auto held = converted<Held>(value);
    if (!held) {
        return expected_words<Held>();
    }
    auto problem = first_problem(field, *held);
    if (problem.empty()) {
        plan.*member = std::move(*held);
    }
    return problem;
}

struct Assigner {
    const PlanField& field;
    Plan& plan;
    const PlanValue& value;

    template <class T>
    std::string operator()(std::optional<T> Plan::*member) const {
        return assign_as<T>(field, plan, member, value);
    }

    template <class T>
    std::string operator()(T Plan::*member) const {
        return assign_as<T>(field, plan, member, value);
    }
};

struct Reader {
    const Plan& plan;

    template <class T>
    std::optional<PlanValue> operator()(std::optional<T> Plan::*member) const {
        const auto& value = plan.*member;
        return value ? std::optional<PlanValue>(*value) : std::nullopt;
    }

    template <class T>
    std::optional<PlanValue> operator()(T Plan::*member) const {
        const auto& value = plan.*member;
        return value.empty() ? std::nullopt : std::optional<PlanValue>(value);
    }
};

template <class Number>
std::optional<Number> parse_number(const std::string& text) {
    Number number{};
    const auto* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, number);
    if (text.empty() || result.ec != std::errc() || result.ptr != end) {
        return std::nullopt;
    }
    return number;
}

bool holds_text(const PlanField& field) {
    return std::holds_alternative<std::string Plan::*>(field.member) ||
           std::holds_alternative<Curve<std::string> Plan::*>(field.member);
}

}  // namespace

std::span<const PlanField> plan_fields() {
    return field_table();
}

std::optional<Size> parse_size(const std::string& text) {
    const auto cross = text.find('x');
    if (cross == std::string::npos) {
        return std::nullopt;
    }
    const auto width = parse_number<int64_t>(text.substr(0, cross));
    const auto height = parse_number<int64_t>(text.substr(cross + 1));
    const auto fits = [](const auto& side) { return side && *side >= 16 && *side <= 8192; };
    return fits(width) && fits(height) ? std::optional(Size{*width, *height}) : std::nullopt;
}

std::string assign(const PlanField& field, Plan& plan, const PlanValue& value) {
    return std::visit(Assigner{field, plan, value}, field.member);
}

std::string assign_text(const PlanField& field, Plan& plan, const std::string& text) {
    if (const auto* list = std::get_if<std::vector<std::string> Plan::*>(&field.member)) {
        auto longer = plan.*(*list);
        longer.push_back(text);
        return assign(field, plan, longer);
    }
    if (holds_text(field)) {
        return assign(field, plan, text);
    }
    if (const auto whole = parse_number<int64_t>(text)) {
        return assign(field, plan, *whole);
    }
    if (const auto number = parse_number<double>(text)) {
        return assign(field, plan, *number);
    }
    const bool whole = std::holds_alternative<std::optional<int64_t> Plan::*>(field.member);
    return c10::str(whole ? "must be a whole number" : "must be a number", ", not '", text, "'");
}

std::optional<PlanValue> value_of(const PlanField& field, const Plan& plan) {
    return std::visit(Reader{plan}, field.member);
}

void overlay(Plan& plan, const Plan& over) {
    for (const PlanField& field : plan_fields()) {
        std::visit(
            [&](auto member) {
                if (value_of(field, over)) {
                    plan.*member = over.*member;
                }
            },
            field.member);
    }
}

void throw_problems(const Problems& problems) {
    if (!problems.empty()) {
        throw UsageError("", c10::Join("\n", problems));
    }
}

}  // namespace weft
