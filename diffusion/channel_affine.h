#pragma once

#include <torch/types.h>

namespace weft {

/// One scale and shift for each channel of each frame: y = scale * x + shift. It is what a group
/// norm comes to once its statistics are known.
struct ChannelAffine {
    torch::Tensor scale;  // [n, channels] f32
    torch::Tensor shift;  // same
};

struct GroupNormTerms {
    int64_t groups = 1;
    double eps = 1e-5;
    torch::Tensor weight;  // [channels]
    torch::Tensor bias;    // [channels]
};

/// The affine of a group norm (Wu and He, arXiv 1803.08494, eq. 3-6) over x [n, channels, h, w].
/// Sums are over blocks of pixels in f32 and over blocks in f64, the same for any thread count.
ChannelAffine group_norm_affine(const torch::Tensor& x, const GroupNormTerms& terms);

/// What follows the affine in the same pass.
enum class AffineEnd { none, silu };

/// True where x [n, channels, h, w] is on the CPU, f32 or bf16, and channels-last.
bool can_apply_affine(const torch::Tensor& x);

/// end(scale * x + shift), computed in f32. No gradients; x as in can_apply_affine().
torch::Tensor apply_affine(const torch::Tensor& x, const ChannelAffine& affine, AffineEnd end);
/// The same into `out` of x's shape and dtype; both may be views of whole rows of one frame.
void apply_affine_into(torch::Tensor& out, const torch::Tensor& x, const ChannelAffine& affine,
                       AffineEnd end);

}  // namespace weft
