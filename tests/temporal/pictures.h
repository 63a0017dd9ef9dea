#pragma once

#include <torch/types.h>

#include <cmath>

namespace weft::tests {

/// A smooth, aperiodic texture in [0, 1], [1, 3, h, w], seen by a camera whose picture is moved by
/// (dx, dy) pixels: what is at p now is at p + (dx, dy) where dx = dy = 0.
inline torch::Tensor texture(int64_t height, int64_t width, double dx = 0, double dy = 0) {
    const auto x = (torch::arange(width, torch::kFloat32) + dx).view({1, -1});
    const auto y = (torch::arange(height, torch::kFloat32) + dy).view({-1, 1});
    const auto waves = torch::sin(0.31 * x + 0.17 * y) + torch::sin(0.23 * y - 0.11 * x + 1) +
                       torch::sin(0.071 * x * 1.3 + 2) * torch::cos(0.053 * y) +
                       0.7 * torch::sin(0.52 * x - 0.41 * y);
    const auto luma = (waves / 7.4 + 0.5);
    return torch::stack({luma, 1 - luma, luma * luma}).unsqueeze(0);
}

/// A constant flow, [n, 2, h, w].
inline torch::Tensor shift(int64_t height, int64_t width, double dx, double dy, int64_t n = 1) {
    return torch::tensor({dx, dy}, torch::kFloat32)
        .view({1, 2, 1, 1})
        .expand({n, 2, height, width})
        .contiguous();
}

}  // namespace weft::tests
