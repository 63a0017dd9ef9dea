#pragma once

#include <torch/types.h>

#include "diffusion/packed.h"

namespace weft {

/// True where a convolution runs by Winograd's products (Note [Winograd]): 3x3 of stride 1 in f32,
/// between multiples of 16 channels, on a CPU with AVX2 or AVX-512. It asks for no size, so that a
/// weight is kept in one order; only a single frame of 4x4 pixels would be faster by oneDNN.
/// @param weight [out, in, kernel, kernel], its sizes
bool suits_winograd(torch::ScalarType dtype, torch::IntArrayRef weight,
                    const ConvGeometry& geometry);

/// A weight [out, in, 3, 3] f32 in the order of the kernels: [out / 16, in, 9, 16].
torch::Tensor winograd_weight(const torch::Tensor& weight);
/// The weight again, [out, in, 3, 3]: the same numbers.
torch::Tensor plain_of_winograd(const torch::Tensor& weight);

/// conv2d(x) + bias (+ other): x [n, in, h, w] -> [n, out, h', w'], channels-last.
/// @param weight winograd_weight()
/// @param bias   [out] or undefined
/// @param other  the result's shape, or undefined
torch::Tensor winograd_conv2d(const torch::Tensor& x, const torch::Tensor& weight,
                              const torch::Tensor& bias, const ConvGeometry& geometry,
                              const torch::Tensor& other = {});
/// out += conv2d(x) + bias, in place. `out` is channels-last and may be a view of whole rows.
void add_winograd_conv2d(torch::Tensor& out, const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias, const ConvGeometry& geometry);

}  // namespace weft
