#pragma once

#include <torch/types.h>

namespace weft {

/// How slow changes of brightness between two pictures are measured.
struct BrightnessOptions {
    double reach = 0.2;      // side of the local means, as a share of the picture's shorter side
    double most_gain = 1.6;  // >= 1; the ratio stays within [1 / most_gain, most_gain]
};

/// By how much one picture is locally brighter than another: the ratio of their local mean lumas,
/// 1 in the dark and far from what is valid.
/// @param picture, reference [1, 3, h, w]; @param valid [1, 1, h, w] bool: pixels that count
/// @return [1, 1, h, w]
torch::Tensor brightness_ratio(const torch::Tensor& picture, const torch::Tensor& reference,
                               const torch::Tensor& valid, const BrightnessOptions& options = {});

}  // namespace weft
