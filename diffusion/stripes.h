#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>

#include "diffusion/layers.h"

namespace weft {

// Note [Stripes]
// An autoencoder at full size is limited by memory, not by its weights. A large map is therefore
// worked on in stripes of whole rows: group norms take their statistics from the whole map first,
// every convolution sees the true rows above and below its stripe, and results are added into maps
// that exist already. So the picture is that of the untiled network to rounding, without tiles,
// overlaps or seams, and what is held beside the maps of one residual block is one stripe.

/// How large a stripe may get.
struct Stripes {
    int64_t bytes = 16 << 20;

    /// Rows of x [1, c, h, w] that fit, at least 1.
    int64_t rows_of(const torch::Tensor& x) const;
};

/// Calls visit(first, last) for stripes [first, last) of `rows` rows that cover [0, height).
void for_each_stripe(int64_t height, int64_t rows,
                     const std::function<void(int64_t first, int64_t last)>& visit);

/// Rows [first, last) of x [1, c, h, w]; rows outside x are zero. A view where none is outside.
torch::Tensor rows_with_border(const torch::Tensor& x, int64_t first, int64_t last);

/// Zeros [1, c, h, w], channels-last, of x's dtype and device.
torch::Tensor zero_map(const torch::Tensor& x, int64_t channels, int64_t height, int64_t width);

/// A 3x3 convolution of an activated norm.
struct NormedConv {
    const GroupNorm& norm;
    Activation activation;
    const Conv2d& conv;
};

/// out += conv(activation(norm(x))) for one frame, stripe by stripe.
/// @param out [1, out, h, w], channels-last
void add_normed_conv(torch::Tensor& out, const torch::Tensor& x, const NormedConv& layers,
                     const Stripes& stripes);

}  // namespace weft
