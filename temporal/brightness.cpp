#include "temporal/brightness.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "temporal/smoothing.h"

namespace weft {

torch::Tensor brightness_ratio(const torch::Tensor& picture, const torch::Tensor& reference,
                               const torch::Tensor& valid, const BrightnessOptions& options) {
    const auto shorter = static_cast<double>(std::min(picture.size(2), picture.size(3)));
    const auto radius = std::max<int64_t>(2, std::llround(options.reach * shorter / 4));
    // Pulls the ratio to 1 in the dark and where nothing is valid.
    constexpr double floor = 0.02;
    const auto seen = valid.to(picture.scalar_type());
    const auto means =
        smooth_mean(torch::cat({luma_of(picture) * seen, luma_of(reference) * seen}, 1), radius);
    const auto ratio = (means.narrow(1, 0, 1) + floor) / (means.narrow(1, 1, 1) + floor);
    return ratio.clamp(1 / options.most_gain, options.most_gain);
}

}  // namespace weft
