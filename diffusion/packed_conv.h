#pragma once

#include <torch/types.h>

#include <memory>

#include "diffusion/packed.h"

namespace weft {

// Note [Formats]
// The blocks in which oneDNN's convolutions read a weight depend on the size of the map. Where a
// packed weight comes in other blocks it is reordered at every call, and between some of them by a
// loop without vector instructions that takes ten times as long as the convolution. So a weight is
// packed by the first call, for its size. The first call of another size finds out what that size
// wants, once a process for all weights of the same shape, and repacks the weight where it has to.
// Most 3x3 weights in f32 want Winograd's order (Note [Winograd]), which is one format for all
// sizes.

/// A convolution's weight, packed for the sizes it meets: in at most two formats at a time, so that
/// two sizes may alternate. Copies share them. For inference on the CPU. Thread-safe.
class PackedConv2d {
  public:
    PackedConv2d() = default;
    /// @param weight [out, in, kernel, kernel], one that can_pack()
    explicit PackedConv2d(torch::Tensor weight);

    bool defined() const { return formats_ != nullptr; }

    /// conv2d(x) + bias (+ other): x [n, in, h, w] -> [n, out, h', w'], channels-last.
    /// @param bias  [out] or undefined
    /// @param other the result's shape, or undefined
    torch::Tensor operator()(const torch::Tensor& x, const torch::Tensor& bias,
                             const ConvGeometry& geometry, const torch::Tensor& other = {}) const;
    /// out += conv2d(x) + bias, in place. `out` is channels-last and may be a view of whole rows.
    void add_to(torch::Tensor& out, const torch::Tensor& x, const torch::Tensor& bias,
                const ConvGeometry& geometry) const;
    /// The plain weight, contiguous. Costs a copy.
    torch::Tensor weight() const;

  private:
    class Formats;
    std::shared_ptr<Formats> formats_;
};

}  // namespace weft
