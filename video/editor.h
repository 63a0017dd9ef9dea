#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "diffusion/model.h"
#include "temporal/flow.h"
#include "video/job.h"
#include "video/stages.h"

namespace weft {

/// Frames of a clip that are edited together.
struct FrameBatch {
    torch::Tensor pictures;      // [n, 3, h, w] RGB in [0, 1], at the source's or content size
    std::vector<int64_t> index;  // n frame numbers in the clip; they choose the noise
    std::vector<double> time_s;  // n times from the clip's first frame; curves are read there
    /// [n, 1, h, w] in [0, 1]: how far each pixel may change; undefined: wholly.
    torch::Tensor masks = {};

    int64_t size() const { return static_cast<int64_t>(index.size()); }

    /// The frames at these places of the batch.
    FrameBatch select(std::span<const int64_t> places) const;
    /// These frames and then those.
    static FrameBatch joined(const std::vector<FrameBatch>& parts);
};

/// What a caller may watch while frames are made; every member may be empty.
struct RenderWatch {
    StageClock* clock = nullptr;
    /// After each denoising step; what it throws ends the render.
    std::function<void()> on_step = {};
    /// From time to time where nothing is denoised, with what is done instead; what it throws ends
    /// the work.
    std::function<void(const char* stage)> on_pause = {};
};

/// What the plan's curves say at a time: edits of one frame at equal moments are equal.
struct Moment {
    double strength = 0;
    int64_t prompt = 0;  // place among the plan's keys
    std::vector<float> loras = {};

    friend bool operator==(const Moment&, const Moment&) = default;
};

/// What rows that are edited together take from one another while shapes are decided, see
/// ShapeFusion; for the plan's `shape_fusion`.
struct RowPull {
    torch::Tensor row;  // [n] i64: the row that each row is pulled to
    /// n, of content size: leads from each row's picture to that row's; valid where it is pulled.
    FlowField way;
};

/// What rows shall look like in later steps, see PixelFusion; for the plan's `pixel_fusion`.
struct RowTarget {
    torch::Tensor pictures;  // [n, 3, content]
    torch::Tensor known;     // [n, 1, content] bool: where they say something
};

/// What leads rows that are edited together; each part may be missing.
struct RowGuides {
    std::optional<RowPull> pull = std::nullopt;
    std::optional<RowTarget> target = std::nullopt;
};

/// The heart of weft: a pure function from source frames to edited frames. The same frame numbers,
/// pictures and job give the same result in any order. Thread-safe: yes (const, no state).
class Editor {
  public:
    /// Encodes the job's prompts once.
    Editor(std::shared_ptr<const DiffusionModel> model, Job job);

    /// Edits frames at the source's size: shrunk, edited and finished.
    /// @return [n, 3, source] in [0, 1] on the CPU
    torch::Tensor render(const FrameBatch& batch, const RenderWatch& watch = {}) const;

    /// Frames of the source's size at the size the model edits.
    FrameBatch shrunk(const FrameBatch& batch) const;

    /// Edits frames of content size. Below strength 1 a frame is taken to the noise level of that
    /// strength and denoised from there, and the part of it that the model's latents cannot hold is
    /// added back by (1 - strength), so that the change starts at nothing and grows, for every
    /// family of models. Latents that a mask leaves out are held to the source's while the rest is
    /// denoised, so that the two meet; but in modes that carry edits from frame to frame, where
    /// what another frame's mask shows must be edited too (inpainting models hold them there as
    /// well). May leave [0, 1] by a little.
    /// @return [n, 3, content] on the CPU
    torch::Tensor edit(const FrameBatch& small, const RenderWatch& watch = {}) const;

    /// Edits frames of content size that see each other while they are denoised. All rows are taken
    /// to the strength of the last one, and the first row, the shot's anchor, to its prompt.
    /// @param small the references first, then the others
    /// @param first the first row that is wanted; its strength is that of all rows after it
    /// @return [n - first, 3, content] on the CPU
    torch::Tensor edit_linked(const FrameBatch& small, const FrameLinks& links, int64_t first,
                              const RenderWatch& watch = {}, const RowGuides& guides = {}) const;

    /// Brings edits to the source's size: enlarged, guided by the source as far as the plan's
    /// `detail` says (guided_upsample.h), and with (1 - strength) of what the source lost when it
    /// was shrunk; laid over the source by the masks. Strength 0, and a mask of 0, give the very
    /// pixels back.
    /// @param batch  [n, 3, source]
    /// @param small  [n, 3, content], batch.pictures shrunk
    /// @param edited [n, 3, content]
    /// @return [n, 3, source] in [0, 1] on the CPU
    torch::Tensor finish(const FrameBatch& batch, const torch::Tensor& small,
                         const torch::Tensor& edited, const RenderWatch& watch = {}) const;

    Moment moment(double time_s) const;

    const Job& job() const { return job_; }

    const DiffusionModel& model() const { return *model_; }

  private:
    torch::Tensor edit_at(const FrameBatch& small, double strength, const RenderWatch& watch) const;
    torch::Tensor encoded(const torch::Tensor& pictures, const RenderWatch& watch) const;
    torch::Tensor decoded(const torch::Tensor& latents, const RenderWatch& watch) const;

    /// What ties rows that are denoised together.
    struct Ties {
        std::optional<FrameLinks> links;
        RowGuides guides;
        std::vector<int64_t> index = {};  // of the rows' frames
    };

    torch::Tensor denoised(const torch::Tensor& source, const FrameBatch& batch, double strength,
                           const Ties& ties, const RenderWatch& watch) const;
    Denoise tied(Denoise denoise, const Ties& ties, std::span<const NoiseStep> steps) const;
    torch::Tensor with_rest(const torch::Tensor& edited, const torch::Tensor& source,
                            const torch::Tensor& pictures, double strength,
                            const RenderWatch& watch) const;
    Denoise held_to(const RowTarget& target, const std::vector<int64_t>& index, Denoise denoise,
                    std::span<const NoiseStep> steps) const;
    Injection injection(const torch::Tensor& source, std::span<const NoiseStep> steps,
                        int64_t rows_per_call, const RenderWatch& watch) const;
    Conditioning conditioning(const torch::Tensor& source, const FrameBatch& batch) const;
    BesideInputs inpainting(const FrameBatch& batch) const;
    bool holds_masks(const FrameBatch& batch) const;

    std::shared_ptr<const DiffusionModel> model_;
    Job job_;
    TextCondition prompts_;   // one for each key of job.plan.prompt
    TextCondition negative_;  // one
};

/// Pictures from text alone, at the job's padded size cropped to its content size; one for each
/// index. Neighbours share noise as the job's kind of noise says.
/// @return [n, 3, fit.content] in [0, 1] on the CPU
torch::Tensor generate(const DiffusionModel& model, const Job& job, std::span<const int64_t> index,
                       const RenderWatch& watch = {});

/// The sampler's steps for a strength in (0, 1]: the last part of the full walk. Where strength
/// falls between two steps the first step starts in between, so that the start level moves without
/// jumps.
std::vector<NoiseStep> steps_for_strength(const DiffusionModel& model, const Job& job,
                                          double strength);

}  // namespace weft
