#include "video/editor.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "diffusion/beside.h"
#include "diffusion/plug_and_play.h"
#include "diffusion/x0_rules.h"
#include "temporal/guided_upsample.h"
#include "video/in_between.h"
#include "video/plan_lora.h"
#include "video/resample.h"

namespace weft {
namespace {

SamplerOptions run_options(const Job& job, const Schedule& schedule, std::span<const int64_t> index,
                           const torch::Tensor& like, const RenderWatch& watch) {
    SamplerOptions options = sampler_options(*job.sampler, schedule);
    options.eta = job.plan.eta;
    const auto shape = like.sizes().slice(1).vec();
    const std::vector<int64_t> frames(index.begin(), index.end());
    options.noise = [&job, frames, shape, device = like.device()](int64_t draw) {
        return draw_noise(job, NoisePurpose::step, draw, frames, shape).to(device);
    };
    options.on_step = [&watch](int64_t /*step*/, const torch::Tensor& /*x*/) {
        if (watch.on_step) {
            watch.on_step();
        }
    };
    return options;
}

/// The same tokens stay in all frames, so that nothing flickers.
TokenMerge token_merge(const Job& job) {
    const auto draw = [seed = job.noise.seed](int64_t call, torch::IntArrayRef shape) {
        constexpr int64_t steps = 1 << 16;
        return normal_noise({.seed = seed,
                             .purpose = NoisePurpose::merged_tokens,
                             .step = static_cast<uint32_t>(call % steps),
                             .frame = -1},
                            shape);
    };
    return {.ratio = *job.plan.merge_tokens, .noise = draw};
}

/// The prompt key that holds at a time.
int64_t prompt_at(const Curve<std::string>& prompt, double time_s) {
    int64_t place = 0;
    for (size_t i = 1; i < prompt.keys.size() && prompt.keys[i].at_s <= time_s; ++i) {
        place = static_cast<int64_t>(i);
    }
    return place;
}

std::vector<std::string> texts_of(const Curve<std::string>& prompt) {
    std::vector<std::string> texts;
    for (const auto& key : prompt.keys) {
        texts.push_back(key.value);
    }
    return texts;
}

void check(const FrameBatch& batch, const Size& size) {
    TORCH_CHECK(
        batch.pictures.sizes() == torch::IntArrayRef({batch.size(), 3, size.height, size.width}),
        "frames of shape ", batch.pictures.sizes(), ", expected ", size.width, "x", size.height);
    TORCH_CHECK(batch.time_s.size() == batch.index.size(), batch.size(), " frames but ",
                batch.time_s.size(), " times");
    TORCH_CHECK(
        !batch.masks.defined() ||
            batch.masks.sizes() == torch::IntArrayRef({batch.size(), 1, size.height, size.width}),
        "masks of shape ", batch.masks.sizes(), ", expected ", size.width, "x", size.height);
}

/// Latents [n, 1, h, w] that the edit may change: 1 where a mask touches their pixels, else 0. The
/// padding goes with the edge it repeats.
torch::Tensor mask_on_latents(const torch::Tensor& masks, const Fit& fit, int64_t downscale) {
    return std::get<0>(torch::adaptive_max_pool2d(
                           padded(masks, fit),
                           {fit.padded.height / downscale, fit.padded.width / downscale}))
        .gt(0)
        .to(torch::kFloat32);
}

/// A flow of content size on the grid of the padded picture's latents; what is padded is invalid.
FlowField on_latents(const FlowField& way, const Fit& fit, int64_t downscale) {
    const std::vector<int64_t> margin{0, fit.padded.width - fit.content.width, 0,
                                      fit.padded.height - fit.content.height};
    return resized(
        {torch::constant_pad_nd(way.offset, margin), torch::constant_pad_nd(way.valid, margin)},
        fit.padded.height / downscale, fit.padded.width / downscale);
}

/// Latents of which every pixel is known, [n, 1, h, w] bool; what is padded is not.
torch::Tensor known_on_latents(const torch::Tensor& known, const Fit& fit, int64_t downscale) {
    const std::vector<int64_t> margin{0, fit.padded.width - fit.content.width, 0,
                                      fit.padded.height - fit.content.height};
    const auto unknown = torch::constant_pad_nd((~known).to(torch::kFloat32), margin, 1);
    return std::get<0>(torch::adaptive_max_pool2d(
               unknown, {fit.padded.height / downscale, fit.padded.width / downscale})) == 0;
}

}  // namespace

FrameBatch FrameBatch::select(std::span<const int64_t> places) const {
    const std::vector<int64_t> rows(places.begin(), places.end());
    FrameBatch chosen{pictures.index_select(0, torch::tensor(rows)), {}, {}, {}};
    for (const int64_t place : rows) {
        chosen.index.push_back(index.at(place));
        chosen.time_s.push_back(time_s.at(place));
    }
    if (masks.defined()) {
        chosen.masks = masks.index_select(0, torch::tensor(rows));
    }
    return chosen;
}

FrameBatch FrameBatch::joined(const std::vector<FrameBatch>& parts) {
    FrameBatch all;
    std::vector<torch::Tensor> pictures;
    std::vector<torch::Tensor> masks;
    for (const FrameBatch& part : parts) {
        if (part.size() > 0) {
            pictures.push_back(part.pictures);
        }
        if (part.masks.defined()) {
            masks.push_back(part.masks);
        }
        all.index.insert(all.index.end(), part.index.begin(), part.index.end());
        all.time_s.insert(all.time_s.end(), part.time_s.begin(), part.time_s.end());
    }
    all.pictures = torch::cat(pictures);
    TORCH_CHECK(masks.empty() || masks.size() == pictures.size(), "some frames lack a mask");
    if (!masks.empty()) {
        all.masks = torch::cat(masks);
    }
    return all;
}

std::vector<NoiseStep> steps_for_strength(const DiffusionModel& model, const Job& job,
                                          double strength) {
    auto steps = model.levels(*job.sampler, *job.plan.steps, 1.0, job.spacing);
    const double kept = strength * static_cast<double>(steps.size());
    const auto count = std::clamp<int64_t>(std::llround(std::ceil(kept - 1e-9)), 1,
                                           static_cast<int64_t>(steps.size()));
    steps.erase(steps.begin(), steps.end() - count);

    // Start part of the way into the first step that is kept.
    const double part = kept - static_cast<double>(count - 1);
    if (part < 1 - 1e-9) {
        // Half a timestep at least: a step of no length has no slope.
        NoiseStep& first = steps.front();
        const double t = first.to.t + std::max(0.5, part * (first.from.t - first.to.t));
        if (t < first.from.t) {
            first.from = model.schedule().level_at_time(t);
        }
    }
    return steps;
}

Editor::Editor(std::shared_ptr<const DiffusionModel> model, Job job)
    : model_(std::move(model)), job_(std::move(job)) {
    prompts_ = model_->encode_text(texts_of(job_.plan.prompt));
    negative_ = model_->encode_negative({job_.plan.negative});
}

Moment Editor::moment(double time_s) const {
    Moment moment{.strength = job_.strength(time_s), .prompt = prompt_at(job_.plan.prompt, time_s)};
    if (const auto loras = lora_strengths(job_.loras, {time_s}); loras.defined()) {
        const auto plain = loras.to(torch::kCPU, torch::kFloat32).contiguous();
        moment.loras.assign(plain.data_ptr<float>(), plain.data_ptr<float>() + plain.numel());
    }
    return moment;
}

torch::Tensor Editor::render(const FrameBatch& batch, const RenderWatch& watch) const {
    check(batch, job_.fit.source);
    const FrameBatch small = shrunk(batch);
    return finish(batch, small.pictures, edit(small, watch), watch);
}

FrameBatch Editor::shrunk(const FrameBatch& batch) const {
    const torch::InferenceMode no_gradients;
    FrameBatch small{to_content(batch.pictures, job_.fit), batch.index, batch.time_s, {}};
    if (batch.masks.defined()) {
        small.masks = to_content(batch.masks, job_.fit);
    }
    return small;
}

torch::Tensor Editor::edit(const FrameBatch& small, const RenderWatch& watch) const {
    const torch::InferenceMode no_gradients;
    check(small, job_.fit.content);
    // Frames of one strength share their noise levels and so can run together.
    std::map<double, std::vector<int64_t>> by_strength;
    for (int64_t i = 0; i < small.size(); ++i) {
        by_strength[job_.strength(small.time_s[i])].push_back(i);
    }
    if (by_strength.size() == 1) {
        return edit_at(small, by_strength.begin()->first, watch);
    }
    auto result = torch::empty_like(small.pictures);
    for (const auto& [strength, places] : by_strength) {
        result.index_copy_(0, torch::tensor(places),
                           edit_at(small.select(places), strength, watch));
    }
    return result;
}

torch::Tensor Editor::edit_at(const FrameBatch& small, double strength,
                              const RenderWatch& watch) const {
    const bool masked_out = small.masks.defined() && small.masks.max().item<float>() <= 0;
    if (strength <= 0 || masked_out) {
        return small.pictures;
    }
    const auto pictures = small.pictures.to(model_->placement().device);  // [n, 3, content]
    const auto source = encoded(pictures, watch);                         // [n, c, h/8, w/8]
    const auto latents = denoised(source, small, strength, {}, watch);
    return with_rest(decoded(latents, watch), source, pictures, strength, watch);
}

torch::Tensor Editor::edit_linked(const FrameBatch& small, const FrameLinks& links, int64_t first,
                                  const RenderWatch& watch, const RowGuides& guides) const {
    const torch::InferenceMode no_gradients;
    check(small, job_.fit.content);
    const double strength = job_.strength(small.time_s.back());
    if (strength <= 0) {
        return small.pictures.slice(0, first);
    }
    FrameBatch rows = small;
    rows.time_s.front() = small.time_s.back();
    const auto pictures = rows.pictures.to(model_->placement().device);
    // Frame by frame: a batch here can be a whole key interval.
    std::vector<torch::Tensor> sources;
    for (int64_t i = 0; i < rows.size(); ++i) {
        sources.push_back(encoded(pictures.slice(0, i, i + 1), watch));
    }
    const auto source = torch::cat(sources);
    const auto latents = denoised(source, rows, strength, {links, guides, rows.index}, watch);
    std::vector<torch::Tensor> edited;
    for (int64_t i = first; i < rows.size(); ++i) {
        edited.push_back(with_rest(decoded(latents.slice(0, i, i + 1), watch),
                                   source.slice(0, i, i + 1), pictures.slice(0, i, i + 1), strength,
                                   watch));
    }
    return torch::cat(edited);
}

torch::Tensor Editor::encoded(const torch::Tensor& pictures, const RenderWatch& watch) const {
    const StageClock::Lap lap(watch.clock, Stage::encode_latents);
    return model_->encode(padded(pictures, job_.fit));
}

torch::Tensor Editor::decoded(const torch::Tensor& latents, const RenderWatch& watch) const {
    const StageClock::Lap lap(watch.clock, Stage::decode_latents);
    return cropped(model_->decode(latents), job_.fit);
}

/// An edit with what of its source the latents cannot hold, by (1 - strength).
torch::Tensor Editor::with_rest(const torch::Tensor& edited, const torch::Tensor& source,
                                const torch::Tensor& pictures, double strength,
                                const RenderWatch& watch) const {
    return (strength < 1 ? edited + (1 - strength) * (pictures - decoded(source, watch)) : edited)
        .cpu();
}

torch::Tensor Editor::finish(const FrameBatch& batch, const torch::Tensor& small,
                             const torch::Tensor& edited, const RenderWatch& watch) const {
    const torch::InferenceMode no_gradients;
    check(batch, job_.fit.source);
    const StageClock::Lap lap(watch.clock, Stage::finish);
    const auto device = model_->placement().device;
    std::vector<torch::Tensor> finished;
    for (int64_t i = 0; i < batch.size(); ++i) {
        const double strength = job_.strength(batch.time_s[i]);
        const auto picture = batch.pictures.slice(0, i, i + 1);  // [1, 3, source]
        if (strength <= 0) {
            finished.push_back(picture);
            continue;
        }
        const auto enlarged = [&](const torch::Tensor& pictures, double detail) {
            return guided_upsampled(pictures.slice(0, i, i + 1).to(device), picture.to(device),
                                    {.strength = detail});
        };
        // Below strength 1 the source's detail comes back anyway, by the rest.
        auto large = enlarged(edited, strength * job_.plan.detail.value_or(0));
        if (strength < 1) {
            large = large + (1 - strength) * (picture.to(device) - enlarged(small, 0));
        }
        large = large.clamp(0, 1).cpu();
        finished.push_back(batch.masks.defined()
                               ? torch::lerp(picture, large, batch.masks.slice(0, i, i + 1))
                               : large);
    }
    return torch::cat(finished);
}

torch::Tensor Editor::denoised(const torch::Tensor& source, const FrameBatch& batch,
                               double strength, const Ties& ties, const RenderWatch& watch) const {
    const StageClock::Lap lap(watch.clock, Stage::denoise);
    const auto steps = steps_for_strength(*model_, job_, strength);
    auto steered = conditioning(source, batch);
    steered.links = ties.links;
    torch::Tensor start;  // [n, c, h, w]
    if (*job_.plan.plug_and_play > 0) {
        steered.injection =
            injection(source, steps, ties.links ? ties.links->rows_per_call : 0, watch);
        start = steered.injection->source.at(steps.front().from);
    } else {
        const auto noise =
            draw_noise(job_, NoisePurpose::start, 0, batch.index, source.sizes().slice(1));
        start = add_noise(source, noise.to(source.device()), steps.front().from);
    }
    Denoise denoise = tied(model_->denoise(steered), ties, steps);
    if (holds_masks(batch)) {
        denoise = kept_outside(std::move(denoise), source,
                               mask_on_latents(batch.masks, job_.fit, model_->traits().downscale));
    }
    return sample(*job_.sampler, denoise, start, steps,
                  run_options(job_, model_->schedule(), batch.index, source, watch));
}

Denoise Editor::tied(Denoise denoise, const Ties& ties, std::span<const NoiseStep> steps) const {
    if (const auto& rule = ties.guides.pull; rule && *job_.plan.shape_fusion > 0) {
        const auto way = on_latents(rule->way, job_.fit, model_->traits().downscale);
        const auto pull = [offset = way.offset, row = rule->row](const torch::Tensor& x0) {
            return warp(x0.index_select(0, row.to(x0.device())), offset.to(x0.device()));
        };
        denoise = shapes_fused(std::move(denoise),
                               {.pull = pull,
                                .mask = way.valid.to(torch::kFloat32),
                                .range = {0, *job_.plan.shape_fusion}},
                               steps);
    }
    if (ties.guides.target && *job_.plan.pixel_fusion > 0) {
        denoise = held_to(*ties.guides.target, ties.index, std::move(denoise), steps);
    }
    if (ties.links && *job_.plan.anchor_style > 0) {
        const int64_t rows = ties.links->sees.size(0);
        denoise = styled_as_anchor(
            std::move(denoise),
            {.anchors = torch::zeros({rows}, torch::kInt64), .strength = *job_.plan.anchor_style},
            steps);
    }
    return denoise;
}

Denoise Editor::held_to(const RowTarget& target, const std::vector<int64_t>& index, Denoise denoise,
                        std::span<const NoiseStep> steps) const {
    const FaithfulEncoding by{
        .encode = [this](const torch::Tensor& pictures) { return model_->encode(pictures); },
        .decode = [this](const torch::Tensor& latents) { return model_->decode(latents); }};
    const auto device = model_->placement().device;
    // Frame by frame: there can be a whole key interval.
    std::vector<torch::Tensor> latents;
    for (int64_t i = 0; i < target.pictures.size(0); ++i) {
        const auto picture = target.pictures.slice(0, i, i + 1).to(device);
        latents.push_back(faithful_latents(by, padded(picture.clamp(0, 1), job_.fit)));
    }
    PixelFusion fusion;
    fusion.target = torch::cat(latents);
    fusion.weight = *job_.plan.pixel_fusion *
                    known_on_latents(target.known, job_.fit, model_->traits().downscale)
                        .to(device, torch::kFloat32);
    fusion.noise = [this, index, shape = fusion.target.sizes().slice(1).vec()](int64_t step) {
        // Plain steps draw none of it themselves.
        return draw_noise(job_, NoisePurpose::step, step, index, shape);
    };
    return pixels_fused(std::move(denoise), std::move(fusion), steps);
}

/// What edits of these latents [n, c, h, w] take from the frames themselves.
Injection Editor::injection(const torch::Tensor& source, std::span<const NoiseStep> steps,
                            int64_t rows_per_call, const RenderWatch& watch) const {
    // Of 50 steps the paper injects features at 40 and attention at 25.
    constexpr double maps_to_features = 25.0 / 40;
    const double share = *job_.plan.plug_and_play;
    return plug_and_play(*model_, source, steps,
                         {.text = job_.plan.source_prompt,
                          .features = share,
                          .maps = share * maps_to_features,
                          .rows_per_call = rows_per_call,
                          .on_call = [&watch] {
                              if (watch.on_pause) {
                                  watch.on_pause("invert");
                              }
                          }});
}

Conditioning Editor::conditioning(const torch::Tensor& source, const FrameBatch& batch) const {
    Conditioning result{.text = prompts_,
                        .negative = negative_,
                        .source = {},
                        .guidance = *job_.plan.guidance,
                        .image_guidance = *job_.plan.image_guidance,
                        .guidance_rescale = *job_.plan.guidance_rescale,
                        .interval = job_.interval,
                        .cache_every = *job_.plan.cache_every,
                        .merge = token_merge(job_)};
    if (const auto loras = lora_strengths(job_.loras, batch.time_s); loras.defined()) {
        // The text encoder's LoRAs change too, so that each frame has its own states.
        std::vector<std::string> texts;
        for (const double time_s : batch.time_s) {
            texts.push_back(job_.plan.prompt.at(time_s));
        }
        result.text = model_->encode_text(texts, loras);
        result.negative = model_->encode_negative(
            std::vector<std::string>(texts.size(), job_.plan.negative), loras);
    } else if (prompts_.size() > 1) {
        std::vector<int64_t> keys;
        for (const double time_s : batch.time_s) {
            keys.push_back(prompt_at(job_.plan.prompt, time_s));
        }
        result.text = prompts_.rows(torch::tensor(keys));
    }
    if (model_->traits().source_conditioned) {
        result.source = source;
    }
    if (model_->traits().beside == Beside::mask && batch.masks.defined()) {
        result.beside = inpainting(batch);
    }
    return result;
}

bool Editor::holds_masks(const FrameBatch& batch) const {
    const bool carried = job_.between->motion;
    return batch.masks.defined() && (!carried || model_->traits().beside == Beside::mask);
}

/// What an inpainting model is shown: the frames without the latents' squares that masks touch, so
/// that what it is told to paint is what it does not see. Frame by frame, as everywhere.
BesideInputs Editor::inpainting(const FrameBatch& batch) const {
    const auto device = model_->placement().device;
    const int64_t downscale = model_->traits().downscale;
    std::vector<torch::Tensor> masks;
    std::vector<torch::Tensor> sources;
    for (int64_t i = 0; i < batch.size(); ++i) {
        const auto picture = padded(batch.pictures.slice(0, i, i + 1), job_.fit).to(device);
        const auto touched = mask_on_latents(batch.masks.slice(0, i, i + 1), job_.fit, downscale);
        const auto squares =
            torch::upsample_nearest2d(touched, {picture.size(2), picture.size(3)}).to(device);
        BesideInputs one = inpainting_inputs(*model_, picture, squares);
        masks.push_back(std::move(one.mask));
        sources.push_back(std::move(one.masked_source));
    }
    return {.mask = torch::cat(masks), .masked_source = torch::cat(sources)};
}

torch::Tensor generate(const DiffusionModel& model, const Job& job, std::span<const int64_t> index,
                       const RenderWatch& watch) {
    const torch::InferenceMode no_gradients;
    const auto steps = steps_for_strength(model, job, 1.0);
    const LevelRequest request{
        .grid = job.sampler->grid, .spacing = job.spacing, .steps = *job.plan.steps};
    const auto& traits = model.traits();
    auto start = draw_noise(job, NoisePurpose::start, 0, index,
                            {traits.latent_channels, job.fit.padded.height / traits.downscale,
                             job.fit.padded.width / traits.downscale});
    start = start.to(model.placement().device) *
            initial_scale(model.schedule(), request, steps.front().from);
    const auto loras = lora_strengths(job.loras, {0.0});
    const Conditioning conditioning{.text = model.encode_text({job.plan.prompt.at(0)}, loras),
                                    .negative = model.encode_negative({job.plan.negative}, loras),
                                    .source = {},
                                    .guidance = *job.plan.guidance,
                                    .image_guidance = 1,
                                    .guidance_rescale = *job.plan.guidance_rescale,
                                    .interval = job.interval,
                                    .cache_every = *job.plan.cache_every,
                                    .merge = token_merge(job)};
    torch::Tensor latents;
    {
        const StageClock::Lap lap(watch.clock, Stage::denoise);
        latents = sample(*job.sampler, model.denoise(conditioning), start, steps,
                         run_options(job, model.schedule(), index, start, watch));
    }
    const StageClock::Lap lap(watch.clock, Stage::decode_latents);
    return resized(cropped(model.decode(latents), job.fit), job.fit.source).clamp(0, 1).cpu();
}

}  // namespace weft
