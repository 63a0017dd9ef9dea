#pragma once

#include <torch/types.h>

#include <cstdint>

namespace weft {

/// Mean over the (2 radius + 1)^2 pixels around each one; at the border over those that exist. Cost
/// does not depend on the radius. On the CPU in one thread, by running sums.
/// @param pictures [n, c, h, w] floating
/// @return [n, c, h, w] float32, on the same device
torch::Tensor box_mean(const torch::Tensor& pictures, int64_t radius);

/// box_mean() twice: a smooth bump of 4 radius + 1 pixels.
torch::Tensor smooth_mean(const torch::Tensor& pictures, int64_t radius);

/// True within `px` pixels (in x and in y) of where a mask is true.
/// @param mask [n, 1, h, w] bool
torch::Tensor dilated(const torch::Tensor& mask, int64_t px);

/// Luma (BT.601) of [n, 3, h, w], [n, 1, h, w].
torch::Tensor luma_of(const torch::Tensor& pictures);

/// 0 below `from`, 1 above `to`, smooth between (3 x^2 - 2 x^3).
torch::Tensor smooth_step(const torch::Tensor& x, double from, double to);

}  // namespace weft
