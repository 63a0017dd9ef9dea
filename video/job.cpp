#include "video/job.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>

#include "diffusion/prediction_names.h"
#include "diffusion/torch_noise.h"
#include "io/files/error.h"
#include "video/analysis.h"
#include "video/in_between.h"
#include "video/plan_file.h"
#include "video/plan_lora.h"

namespace weft {
namespace {

int64_t round_up(int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

template <class T>
void fill(std::optional<T>& field, T otherwise) {
    field = field.value_or(otherwise);
}

void fill(std::string& field, const std::string& otherwise) {
    if (field.empty()) {
        field = otherwise;
    }
}

template <class T>
void fill(Curve<T>& field, T otherwise) {
    if (field.empty()) {
        field = Curve<T>::constant(std::move(otherwise));
    }
}

void fill_defaults(Plan& plan, const ModelTraits& traits) {
    fill(plan.model, traits.name);
    fill(plan.prompt, std::string());
    fill(plan.strength, traits.defaults.strength);
    fill(plan.guidance, traits.defaults.guidance);
    fill(plan.image_guidance, traits.defaults.image_guidance);
    fill(plan.guidance_rescale, 0.0);
    fill(plan.cache_every, int64_t{1});
    fill(plan.merge_tokens, 0.0);
    fill(plan.mask_feather, 0.0);
    fill(plan.shape_fusion, 0.0);
    fill(plan.pixel_fusion, 0.0);
    fill(plan.anchor_style, 0.0);
    fill(plan.plug_and_play, 0.0);
    fill(plan.steps, traits.defaults.steps);
    fill(plan.sampler, traits.defaults.sampler);
    fill(plan.seed, int64_t{0});
    fill(plan.rng, "keyed");
    fill(plan.noise, "fixed");
    fill(plan.noise_share, 1.0);
    fill(plan.codec, "auto");
    fill(plan.preset, "medium");
    fill(plan.mode, "auto");
    fill(plan.detail, 1.0);
    fill(plan.segment_frames, int64_t{96});
}

std::optional<Position> position(const std::string& text, const char* option) {
    return text.empty() ? std::nullopt : std::optional(Position::parse(text, option));
}

/// The frame a position falls on; nullopt where the rate is unknown.
std::optional<double> frame_of(const Position& place, const StreamInfo& source) {
    if (place.frame) {
        return static_cast<double>(*place.frame);
    }
    return source.frame_rate.is_zero()
               ? std::nullopt
               : std::optional(place.time.seconds() * source.frame_rate.value());
}

int64_t estimate_frames(const Job& job, const StreamInfo& source) {
    const auto rate = source.frame_rate.value();
    double last =
        source.frames > 0 ? static_cast<double>(source.frames) : source.duration.seconds() * rate;
    double first = 0;
    if (job.from) {
        first = frame_of(*job.from, source).value_or(0);
    }
    if (job.to) {
        const auto end = frame_of(*job.to, source);
        last = end && (last <= 0 || *end < last) ? *end : last;
    }
    return std::max<int64_t>(0, std::llround(std::ceil(last) - std::ceil(first)));
}

void check_range(const Job& job, const StreamInfo& source, Problems& problems) {
    if (job.from && job.to) {
        const auto first = frame_of(*job.from, source);
        const auto end = frame_of(*job.to, source);
        if (first && end && *end <= *first) {
            problems.push_back(
                c10::str("to: '", job.plan.to, "' is not after from '", job.plan.from, "'"));
        }
    }
    const auto known = source.frames > 0 ? static_cast<double>(source.frames) : 0.0;
    if (job.from && known > 0 && frame_of(*job.from, source).value_or(0) >= known) {
        problems.push_back(c10::str("from: '", job.plan.from, "' is after the clip's end (",
                                    source.frames, " frames",
                                    job.from->frame ? ")" : "); as a frame's number it ends in f"));
    }
}

void check_noise(const Job& job, Problems& problems) {
    const std::string& kind = job.plan.noise;
    if (job.torch_rng && kind != "fixed" && kind != "independent") {
        problems.push_back(c10::str("rng: torch draws fixed or independent noise, not ", kind));
    }
    if (job.plan.eta && !job.sampler->eta) {
        problems.push_back(c10::str("eta: ", job.sampler->name,
                                    " has no choice of fresh noise; take ddim or euler_a"));
    }
}

void check_color(const Plan& plan, Problems& problems) {
    if (!plan.ocio.empty() && plan.colorspace.empty()) {
        problems.emplace_back("ocio: name the clip's space of that configuration with colorspace");
    }
}

void check_mask_feather(const Plan& plan, Problems& problems) {
    if (plan.mask.empty() && *plan.mask_feather > 0) {
        problems.emplace_back("mask_feather: softens a mask; name one with mask");
    }
}

void check_injection(const Plan& plan, const ModelTraits& traits, Problems& problems) {
    if (*plan.plug_and_play == 0) {
        return;
    }
    if (traits.beside != Beside::nothing) {
        problems.push_back(c10::str("plug_and_play: ", traits.name,
                                    " is fed more than a prompt; leave it at 0, or take a model "
                                    "that is not"));
    }
    if (*plan.cache_every > 1 || *plan.merge_tokens > 0) {
        problems.emplace_back(
            "plug_and_play: injects into layers that cache_every and merge_tokens skip or merge; "
            "leave those out");
    }
}

void check_pixel_fusion(const Job& job, Problems& problems) {
    const std::string name = job.sampler->name;
    const bool plain = (name == "ddim" && job.plan.eta.value_or(0) == 0) || name == "euler" ||
                       name == "flow_euler";
    if (*job.plan.pixel_fusion > 0 && !plain) {
        problems.push_back(c10::str("pixel_fusion: the steps of ", name,
                                    " cannot hold pixels; take ddim (eta 0), euler or flow_euler"));
    }
}

/// Chooses how frames between key frames are made.
void set_mode(Job& job, const RunChoices& choices, Problems& problems) {
    if (job.plan.mode == "auto") {
        job.plan.mode = choices.rereadable && job.frames != 1 ? "propagate" : "frames";
    }
    job.between = find_in_between(job.plan.mode);
    if (job.by_keys() && !choices.rereadable) {
        problems.push_back(c10::str("mode: ", job.plan.mode,
                                    " reads the clip more than once, which a pipe cannot give; "
                                    "use frames, or make IN a file"));
    }
}

void take_loras(Job& job, Problems& problems) {
    for (auto& lora : plan_loras(job.plan)) {
        if (!lora.strength.empty() && job.plan.lora_mode == "merged") {
            problems.push_back(c10::str("lora_mode: '", lora.choice.file.string(),
                                        "' changes over time, which merged weights cannot"));
        }
        job.loras.push_back(std::move(lora.strength));
    }
}

/// The box that, given as --size, leads to the same fit: the side that rounding shortened stays
/// loose.
Size bounding_box(const Fit& fit) {
    const auto loose = [](int64_t side) { return side + 1; };
    const bool wide = fit.source.width >= fit.source.height;
    return {wide ? fit.content.width : loose(fit.content.width),
            wide ? loose(fit.content.height) : fit.content.height};
}

std::string size_text(const Size& size) {
    return c10::str(size.width, "x", size.height);
}

}  // namespace

ModelOptions model_options(const Plan& plan) {
    ModelOptions options;
    for (auto& lora : plan_loras(plan)) {
        options.loras.push_back(std::move(lora.choice));
    }
    for (const auto& text : plan.embedding) {
        options.embeddings.push_back(parse_embedding(text));
    }
    options.clip_skip = plan.clip_skip.value_or(options.clip_skip);
    options.vae = plan.vae;
    if (!plan.prediction.empty()) {
        options.prediction = prediction_named(plan.prediction);
    }
    return options;
}

Fit fit_size(Size source, const std::optional<Size>& box, const ModelTraits& traits) {
    TORCH_CHECK(source.width > 0 && source.height > 0, "source of ", source.width, "x",
                source.height);
    const auto width = static_cast<double>(source.width);
    const auto height = static_cast<double>(source.height);
    double scale = 0;
    if (box) {
        scale = std::min(static_cast<double>(box->width) / width,
                         static_cast<double>(box->height) / height);
    } else {
        const auto side = traits.edit_size > 0 ? traits.edit_size : traits.native_size;
        scale = static_cast<double>(side) / std::max(width, height);
        scale = traits.source_conditioned ? std::min(scale, 1.0) : scale;
    }
    const auto scaled = [&](double side) {
        return std::max<int64_t>(1, std::llround(side * scale));
    };
    const Size content{scaled(width), scaled(height)};
    const auto multiple = std::max<int64_t>(1, traits.size_multiple);
    return {
        source, content, {round_up(content.width, multiple), round_up(content.height, multiple)}};
}

Job resolve(const Plan& plan, const StreamInfo& source, const ModelTraits& traits,
            const RunChoices& choices) {
    Job job;
    job.plan = plan;
    fill_defaults(job.plan, traits);
    job.sampler = &sampler_named(job.plan.sampler);
    if (!job.plan.spacing.empty()) {
        job.spacing = spacing_named(job.plan.spacing);
    }
    if (!job.plan.guidance_interval.empty()) {
        job.interval = parse_guidance_interval(job.plan.guidance_interval);
    }
    job.noise = {.kind = find_noise_kind(job.plan.noise),
                 .seed = static_cast<uint64_t>(*job.plan.seed),
                 .share = *job.plan.noise_share};
    if (job.noise.kind->moves) {
        job.noise.chain = std::make_shared<const NoiseChain>(std::make_shared<const StillMotion>());
    }
    job.torch_rng = job.plan.rng == "torch";
    job.fit = fit_size({source.width, source.height}, parse_size(job.plan.size), traits);
    fill(job.plan.size, size_text(bounding_box(job.fit)));
    job.from = position(job.plan.from, "--from");
    job.to = position(job.plan.to, "--to");
    job.batch = choices.batch.value_or(choices.on_gpu ? 4 : 1);
    job.frames = estimate_frames(job, source);
    Problems problems;
    check_range(job, source, problems);
    check_noise(job, problems);
    check_color(job.plan, problems);
    check_mask_feather(job.plan, problems);
    check_injection(job.plan, traits, problems);
    check_pixel_fusion(job, problems);
    set_mode(job, choices, problems);
    take_loras(job, problems);
    throw_problems(problems);
    job.map = make_picture_map(source, {.ocio = plan.ocio, .colorspace = plan.colorspace});
    return job;
}

bool Job::by_keys() const {
    return between->keys;
}

torch::Tensor draw_noise(const Job& job, NoisePurpose purpose, int64_t step,
                         std::span<const int64_t> frames, torch::IntArrayRef shape) {
    if (!job.torch_rng) {
        // In the order of the clip: noise that moves is carried from frame to frame.
        std::vector<int64_t> order(frames.begin(), frames.end());
        std::sort(order.begin(), order.end());
        const auto drawn = job.noise.draw(purpose, static_cast<uint32_t>(step), order, shape);
        std::vector<int64_t> rows;
        for (const int64_t frame : frames) {
            rows.push_back(std::lower_bound(order.begin(), order.end(), frame) - order.begin());
        }
        return drawn.index_select(0, torch::tensor(rows));
    }
    const int64_t draw = purpose == NoisePurpose::start ? 0 : 1 + step;
    const bool shared = job.plan.noise == "fixed";
    std::vector<torch::Tensor> drawn;
    for (const int64_t frame : frames) {
        const auto own = static_cast<uint64_t>(shared ? 0 : frame);
        drawn.push_back(torch_noise(job.noise.seed + own, draw, shape));
    }
    return torch::stack(drawn);  // [frames, c, h, w]
}

int64_t working_bytes(const Job& job) {
    // Source frames: one waiting and one in work at either end, the batch twice (in and out), all
    // f32 RGB, and the codecs' own pictures. Activations: the starter takes about 800 bytes a model
    // pixel and frame of a batch with guidance in bf16, more in f32.
    constexpr int64_t bytes_per_source_pixel = 12;
    constexpr int64_t bytes_per_model_pixel = 1000;
    const int64_t source_pixels = job.fit.source.width * job.fit.source.height;
    const int64_t model_pixels = job.fit.padded.width * job.fit.padded.height;
    const int64_t codec_bytes = source_pixels * 120;
    return source_pixels * bytes_per_source_pixel * (4 + 4 * job.batch) + codec_bytes +
           model_pixels * bytes_per_model_pixel * job.batch;
}

std::string describe(const Job& job) {
    const auto frames = job.frames > 0 ? c10::str(job.frames) : std::string("unknown");
    return c10::str(to_toml(job.plan), "# source ", size_text(job.fit.source), ", model ",
                    size_text(job.fit.content), " padded to ", size_text(job.fit.padded),
                    "\n# frames: ", frames, ", ", job.batch, " at a time", "\n# memory: about ",
                    (working_bytes(job) >> 20), " MB beside the model\n");
}

}  // namespace weft
