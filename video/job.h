#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/model.h"
#include "io/media/frame.h"
#include "io/media/picture_map.h"
#include "temporal/noise.h"
#include "video/plan.h"

namespace weft {

/// How a source picture meets the model's grid: resized without distortion to `content`, padded at
/// the right and bottom by repeating its edge to `padded`, and cropped back afterwards.
struct Fit {
    Size source;
    Size content;  // same shape as source, to within a pixel
    Size padded;   // content rounded up to the model's size multiple
};

/// Fits a source to a model. Without a box the longer side becomes the model's edit size;
/// source-conditioned models are never given more pixels than the source has.
/// @param box the largest content size, from --size; its shape need not be the source's
Fit fit_size(Size source, const std::optional<Size>& box, const ModelTraits& traits);

struct InBetween;  // in_between.h

/// A plan ready to run: every default filled, every name looked up. A value.
struct Job {
    Plan plan;  // every field set, except from, to and crf where they were not given
    Fit fit;
    NoiseField noise;
    bool torch_rng = false;            // noise is PyTorch's instead of the field's; see draw_noise
    const Sampler* sampler = nullptr;  // never null
    std::optional<Spacing> spacing;    // not set: the model's
    std::shared_ptr<const PictureMap> map;  // shows the clip to the model; null: as it is
    const InBetween* between = nullptr;     // how frames between key frames are made; never null
    GuidanceInterval interval;              // where guidance acts
    std::vector<Curve<double>> loras;       // strength of each LoRA over time, where one changes
    std::optional<Position> from;
    std::optional<Position> to;
    int64_t batch = 1;   // frames edited together
    int64_t frames = 0;  // estimate of frames to edit; 0 where unknown

    double strength(double time_s) const { return plan.strength.at(time_s); }

    /// True where frames are edited by key frames.
    bool by_keys() const;
};

/// What the machine adds to a plan; it does not travel in plan files.
struct RunChoices {
    std::optional<int64_t> batch = std::nullopt;  // not set: 1 on the CPU, 4 on a GPU
    bool on_gpu = false;
    /// The source can be read more than once: key frames and motion need that.
    bool rereadable = false;
};

/// Fills a checked plan's defaults from the model and the source. Mode `auto` becomes `propagate`
/// for clips that can be read again, `frames` for single pictures and pipes.
/// Throws UsageError, listing everything, for combinations that do not work (`to` before `from`),
/// and as make_picture_map().
Job resolve(const Plan& plan, const StreamInfo& source, const ModelTraits& traits,
            const RunChoices& choices = {});

/// What the plan adds to the model: LoRAs, learned words, skipped layers. Error where a file is
/// gone.
ModelOptions model_options(const Plan& plan);

/// Noise of some frames [frames, shape], float32 on the CPU, by the job's field. With --rng torch
/// it is what torch.Generator('cpu') draws after manual_seed, in the order of diffusers' pipelines:
/// the start, then one draw a step; `fixed` noise is that of the job's seed, `independent` of seed
/// + frame.
torch::Tensor draw_noise(const Job& job, NoisePurpose purpose, int64_t step,
                         std::span<const int64_t> frames, torch::IntArrayRef shape);

/// Estimate of the peak memory in bytes beside the model's weights: frames in flight at the
/// source's size and activations at the model's. Within a factor of two on the CPU.
int64_t working_bytes(const Job& job);

/// The job for a person: the resolved plan as TOML, sizes, frames and memory as comments.
std::string describe(const Job& job);

}  // namespace weft
