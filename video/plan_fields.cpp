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

std::vector<PlanField> edit_fields() {
    return {
        {"prompt", "Edit", "TEXT",
         "what the result should look like; a plan may change it over time", &Plan::prompt},
        {"negative", "Edit", "TEXT", "what it should not look like (default: nothing)",
         &Plan::negative},
        {"mask", "Edit", "FILE",
         "picture, clip or sequence, white where the edit goes; the rest stays (default: all)",
         &Plan::mask},
        {"mask_feather",
         "Edit",
         "PX",
         "how far the mask's edge is softened, in the source's pixels, 0 .. 500 (default: 0)",
         &Plan::mask_feather,
         {0, 500}},
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
    };
}

std::vector<PlanField> steering_fields() {
    return {
        {"shape_fusion",
         "Edit, rare",
         "SHARE",
         "of the steps, from the first, that carry key frames' shapes along in modes full and "
         "tokens, 0 .. 1 (default: 0)",
         &Plan::shape_fusion,
         {0, 1}},
        {"pixel_fusion",
         "Edit, rare",
         "W",
         "how far later steps hold frames to what key frames' edits show of them, in modes full "
         "and "
         "tokens, 0 .. 1 (default: 0)",
         &Plan::pixel_fusion,
         {0, 1}},
        {"anchor_style",
         "Edit, rare",
         "S",
         "how far key frames, and frames that see them, take the colours of their shot's first "
         "frame, 0 .. 1 (default: 0)",
         &Plan::anchor_style,
         {0, 1}},
        {"plug_and_play",
         "Edit, rare",
         "SHARE",
         "of the steps that keep the source's layout, 0 .. 1; models of a prompt alone (default: "
         "0)",
         &Plan::plug_and_play,
         {0, 1}},
        {"source_prompt", "Edit, rare", "TEXT",
         "what the source shows, for --plug-and-play (default: nothing said)",
         &Plan::source_prompt},
    };
}

std::vector<PlanField> model_fields() {
    return {
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
    };
}

std::vector<PlanField> sampling_fields() {
    return {
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
    };
}

std::vector<PlanField> output_fields() {
    return {
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
}

}  // namespace

std::span<const PlanField> plan_fields() {
    static const std::vector<PlanField> fields = [] {
        std::vector<PlanField> all;
        for (const auto& part : {edit_fields(), steering_fields(), model_fields(),
                                 sampling_fields(), output_fields()}) {
            all.insert(all.end(), part.begin(), part.end());
        }
        return all;
    }();
    return fields;
}

}  // namespace weft
