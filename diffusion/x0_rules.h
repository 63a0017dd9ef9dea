#pragma once

#include <torch/types.h>

#include <functional>
#include <span>

#include "diffusion/samplers.h"
#include "diffusion/step_range.h"

namespace weft {

// Rules on the estimate of x0 that tie the frames of a batch together while they are denoised
// (Rerender, arXiv 2306.07954, sections 4.2 and 4.3): decorators of Denoise, one inside another in
// the order they shall apply. `steps` are those of the run, noise first. What moves pictures along
// flow comes from the caller. All are deterministic and thread-safe where what they are given is.

/// Shapes follow the reference while they are decided: x0 <- mask pull(x0) + (1 - mask) x0.
struct ShapeFusion {
    /// x0 [n, c, h, w] of all rows -> what each row is pulled to, [n, c, h, w]: its reference's
    /// estimate warped onto it. Rows under a mask of 0 may hold anything finite. Latents may be
    /// warped as they are in the first steps alone, where shapes are coarse; to hold details over
    /// more of the run, decode, warp the picture and encode it again.
    std::function<torch::Tensor(const torch::Tensor& x0)> pull;
    torch::Tensor mask;  // [n or 1, 1, h, w] in [0, 1]: 0 where the reference does not reach
    StepRange range = {0, 0.1};
};

Denoise shapes_fused(Denoise denoise, ShapeFusion fusion, std::span<const NoiseStep> steps);

/// Colours follow the anchor while they are decided: the mean and deviation of each channel of x0
/// become those of another row's (Huang and Belongie, arXiv 1703.06868, eq. 8).
struct AnchorStyle {
    torch::Tensor anchors;  // [n] i64: the row whose statistics each row takes; itself: its own
    double strength = 1;    // [0, 1]: 0 changes nothing
    StepRange range = {0.8, 1};
};

Denoise styled_as_anchor(Denoise denoise, AnchorStyle style, std::span<const NoiseStep> steps);

/// Outside a mask the source stays: x0 <- mask x0 + (1 - mask) source. Under a deterministic
/// sampler x is then alpha source + sigma e there at every level, with the noise e that it began
/// with, as in Blended Latent Diffusion (Avrahami et al., arXiv 2206.02779, algorithm 1), which
/// draws that noise anew at every step.
/// @param source [n, c, h, w] latents @param mask [n, 1, h, w] in [0, 1]: 1 is edited
Denoise kept_outside(Denoise denoise, torch::Tensor source, torch::Tensor mask);

/// x [n, c, h, w] with the mean and deviation of `like` [n or 1, c, h', w'] in each channel.
torch::Tensor with_statistics_of(const torch::Tensor& like, const torch::Tensor& x);

/// Pixels follow a target picture where it is known, in later steps. With x0 and the noise e that
/// the step sees in x, and fresh noise f, the next level (alpha, sigma) is, in place of
/// alpha x0 + sigma e,
///     alpha (w target + (1 - w) x0) + sigma (w f + r e),   r = max(1 - w, inner sqrt(1 - w^2)),
/// and r = 1 - w where w changes between neighbours. Inner 1 keeps the variance of the noise.
/// This is a rule on x; it is stated here as the x0 with which a deterministic step of first order
/// (ddim with eta 0, euler; flow_euler) arrives there, and is for those samplers only: others
/// would mix that x0 into later steps.
struct PixelFusion {
    torch::Tensor target;  // [n, c, h, w] latents, see faithful_latents
    torch::Tensor weight;  // [n or 1, 1, h, w] in [0, 1]: w, 0 where the target is unknown
    /// Unit normal noise like the target, by the number of the step.
    StepNoise noise;
    double inner = 0.9;  // [0, 1]
    StepRange range = {0.5, 0.8};
};

Denoise pixels_fused(Denoise denoise, PixelFusion fusion, std::span<const NoiseStep> steps);

/// Latents whose decoding is nearer to a picture than that of its encoding (Rerender, section
/// 4.2.2, fidelity-oriented encoding): E(J) + (1 - m)(E(J) - E(D(E(J)))), where m marks what the
/// autoencoder cannot show at all.
struct FaithfulEncoding {
    std::function<torch::Tensor(const torch::Tensor& pictures)> encode;  // [0, 1] -> latents
    std::function<torch::Tensor(const torch::Tensor& latents)> decode;   // latents -> [0, 1]
    /// A latent is marked where the error of a pixel under it, averaged over the channels, is
    /// larger. 0.25 of a picture in [-1, 1] in the authors' code.
    double most_error = 0.125;
};

/// @param pictures [n, 3, h, w] in [0, 1]
torch::Tensor faithful_latents(const FaithfulEncoding& by, const torch::Tensor& pictures);

}  // namespace weft
