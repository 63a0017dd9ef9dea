#pragma once

#include <torch/types.h>

#include <functional>

#include "diffusion/noise_levels.h"
#include "diffusion/samplers.h"

namespace weft {

/// The bare network: input [n, in_channels, h, w], timestep, text [n, 77, d] -> [n, out, h, w] f32.
using Network =
    std::function<torch::Tensor(const torch::Tensor& input, double t, const torch::Tensor& text)>;

/// x0 from what the network said about x at a level. epsilon needs alpha > 0.
torch::Tensor to_x0(Prediction prediction, const torch::Tensor& output, const torch::Tensor& x,
                    const NoiseLevel& level);

/// What the network should say: the inverse of to_x0, for training and tests.
torch::Tensor target_of(Prediction prediction, const torch::Tensor& x0, const torch::Tensor& noise,
                        const NoiseLevel& level);

/// What steers one batch of n frames. Tensors with 1 in the first dimension serve all frames.
struct Conditioning {
    torch::Tensor text;      // [1 or n, 77, d] states of the prompt
    torch::Tensor negative;  // [1 or n, 77, d] states of the negative prompt; may be undefined
                             // where guidance and image_guidance are 1
    /// [1 or n, c, h, w] latents of the source pictures as DiffusionModel::encode returns them, for
    /// source-conditioned models; undefined: generate from text alone.
    torch::Tensor source;
    double guidance = 1;        // text scale; 1 switches it off (and halves the cost)
    double image_guidance = 1;  // source scale, source-conditioned models only
};

/// Classifier-free guidance (Ho and Salimans, arXiv 2207.12598): both branches run as one batch.
Denoise text_guided(Network network, Prediction prediction, Conditioning conditioning);

/// InstructPix2Pix guidance (Brooks et al., arXiv 2211.09800, eq. 3) over input [x | source]:
///   out = g text + (s - g) image + (1 - s) none, with text = (prompt, source),
///   image = (negative, source), none = (negative, zero source).
/// Branches whose factor is 0 are not run: two at s = 1 or s = g, one at s = g = 1. Here
/// conditioning.source is what the network is fed (unscaled); undefined feeds zeros of x's shape.
Denoise source_guided(Network network, Prediction prediction, Conditioning conditioning);

}  // namespace weft
