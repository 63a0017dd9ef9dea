#include "temporal/brightness.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "temporal/smoothing.h"

namespace weft {

torch::Tensor brightness_ratio(const torch::Tensor& picture, const torch::Tensor& reference,
                               const torch::Tensor& valid, const BrightnessOptions& options) {
    const auto height = picture.size(2);
    const auto width = picture.size(3);
    // Means this wide lose nothing on a grid with 16 cells a window.
    const auto window = options.reach * static_cast<double>(std::min(height, width));
    const auto cell = std::max<int64_t>(1, static_cast<int64_t>(window / 16));
    const std::array<int64_t, 2> grid{(height + cell - 1) / cell, (width + cell - 1) / cell};
    const auto radius = std::max<int64_t>(2, std::llround(window / static_cast<double>(4 * cell)));
    // Pulls the ratio to 1 in the dark and where nothing is valid.
    constexpr double floor = 0.02;
    const auto seen = valid.to(picture.scalar_type());
    const auto lumas = torch::cat({luma_of(picture) * seen, luma_of(reference) * seen}, 1);
    const auto means = smooth_mean(at::adaptive_avg_pool2d(lumas, grid), radius);
    const auto ratio = ((means.narrow(1, 0, 1) + floor) / (means.narrow(1, 1, 1) + floor))
                           .clamp(1 / options.most_gain, options.most_gain);
    return at::upsample_bilinear2d(ratio, {height, width}, /*align_corners=*/false);
}

}  // namespace weft
