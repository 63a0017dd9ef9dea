#pragma once

#include <torch/types.h>

#include <functional>
#include <optional>

#include "diffusion/frame_links.h"
#include "diffusion/guidance_interval.h"
#include "diffusion/injection.h"
#include "diffusion/noise_levels.h"
#include "diffusion/prediction.h"
#include "diffusion/samplers.h"
#include "diffusion/text_condition.h"
#include "diffusion/token_merging.h"

namespace weft {

/// The bare network: input [n, in_channels, h, w], timestep, what it is told of n texts
/// -> [n, out, h, w] f32.
using Network =
    std::function<torch::Tensor(const torch::Tensor& input, double t, const TextCondition& text)>;

/// What some networks are fed beside the noisy latents, in latents' size; 1 or n rows each.
struct BesideInputs {
    /// Inpainting: [., 1, h, w], 1 where the picture is painted anew; undefined: everywhere.
    torch::Tensor mask = {};
    /// Inpainting: [., c, h, w] latents (as DiffusionModel::encode returns them) of the source with
    /// mid-grey under the mask; undefined: of a grey picture.
    torch::Tensor masked_source = {};
    /// Depth models: [., 1, h, w] in [-1, 1], 1 is near.
    torch::Tensor depth = {};
    /// Upscalers: [., 3, h, w] the small picture in [-1, 1], noised to `noise_level`.
    torch::Tensor low_resolution = {};
    int64_t noise_level = 20;  // upscalers: timestep of that noise, [0, 350]
};

/// What steers one batch of n frames. Tensors with 1 in the first dimension serve all frames.
struct Conditioning {
    TextCondition text;      // 1 or n prompts
    TextCondition negative;  // 1 or n negative prompts; may be undefined where guidance and
                             // image_guidance are 1
    /// [1 or n, c, h, w] latents of the source pictures as DiffusionModel::encode returns them, for
    /// source-conditioned models; undefined: generate from text alone.
    torch::Tensor source = {};
    /// What other families are fed beside the noisy latents; see Beside in model.h and beside.h.
    BesideInputs beside = {};
    double guidance = 1;        // text scale; 1 switches it off (and halves the cost)
    double image_guidance = 1;  // source scale, source-conditioned models only
    /// [0, 1]: how far the guided answer is brought back to the spread of the prompt's own, against
    /// overexposure (Lin et al., arXiv 2305.08891, eq. 15 and 16; 0.7 there).
    double guidance_rescale = 0;
    /// Which frames of the batch see which; not set: none sees another.
    std::optional<FrameLinks> links = {};
    /// Plug-and-play's source, for models that are not fed one.
    std::optional<Injection> injection = {};
    /// Where guidance and image_guidance act; elsewhere they count as 1. Models that are told their
    /// guidance (LCM) are told it at all levels.
    GuidanceInterval interval = {};
    /// Deep features of the network are computed at every n-th call only; 1: always. Approximate
    /// from 2 on; see FeatureCache. The Denoise then remembers: it serves one run of a sampler.
    int64_t cache_every = 1;
    /// Tokens of the finest self-attentions are merged. Approximate; the Denoise then counts its
    /// calls.
    TokenMerge merge = {};
};

/// Classifier-free guidance (Ho and Salimans, arXiv 2207.12598): both branches run as one batch.
Denoise text_guided(Network network, Prediction prediction, Conditioning conditioning);

/// InstructPix2Pix guidance (Brooks et al., arXiv 2211.09800, eq. 3) over input [x | source]:
///   out = g text + (s - g) image + (1 - s) none, with text = (prompt, source),
///   image = (negative, source), none = (negative, zero source).
/// Branches whose factor is 0 are not run: two at s = 1 or s = g, one at s = g = 1. Here
/// conditioning.source is what the network is fed (unscaled); undefined feeds zeros of x's shape.
Denoise source_guided(Network network, Prediction prediction, Conditioning conditioning);

/// Of the branches of one step, in the order they run, the one that shows the source most plainly:
/// fed the source but not told the prompt, else the negative prompt's, else the prompt's.
int64_t telling_branch(const Conditioning& conditioning, bool source_conditioned);

}  // namespace weft
