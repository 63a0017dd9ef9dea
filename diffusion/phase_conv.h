#pragma once

#include <torch/types.h>

#include "diffusion/packed_conv.h"

namespace weft {

// Note [Phases]
// Doubling a map by repeating pixels and convolving it 3x3 reads every source pixel four times: an
// output pixel sees only 2x2 different ones, and which taps fall onto the same one depends on
// whether its row and column are even or odd. Summing those taps beforehand gives four 2x2
// kernels, one for each of the four phases (Shi et al., arXiv 1609.07009), with 16 products for a
// source pixel instead of 36, and the same result to rounding.

/// nearest doubling and a 3x3 convolution "weight", "bias", computed by phases with packed weights.
/// Inference only. Immutable, thread-safe.
class PhaseConv2d {
  public:
    /// @param weight [c, c, 3, 3], one that can_pack()
    /// @param bias   [c]
    PhaseConv2d(const torch::Tensor& weight, torch::Tensor bias);
    /// [n, c, h, w] -> [n, c, 2h, 2w]; zeros around x.
    torch::Tensor operator()(const torch::Tensor& x) const;
    /// [n, c, h + 2, w] -> [n, c, 2h, 2w]: the first and the last row are surroundings.
    torch::Tensor rows(const torch::Tensor& x) const;
    /// The 3x3 weight [c, c, 3, 3] that the phases were made of, to rounding.
    torch::Tensor weight() const;

    const torch::Tensor& bias() const { return bias_; }

  private:
    torch::Tensor interleaved(const torch::Tensor& phases) const;

    PackedConv2d packed_;        // [4 c, c, 2, 2]: phases (row, column) 00, 01, 10, 11
    torch::Tensor packed_bias_;  // [4 c]
    torch::Tensor bias_;         // [c]
    torch::ScalarType dtype_;
};

}  // namespace weft
