#pragma once

#include <torch/types.h>

namespace weft {

// The looks made by light, weather and film: mostly a new colour for each old one.
// All: [n, 3, h, w] in 0..1 -> the same.

torch::Tensor night(const torch::Tensor& picture);
torch::Tensor sunset(const torch::Tensor& picture);
torch::Tensor winter_snow(const torch::Tensor& picture);
torch::Tensor autumn(const torch::Tensor& picture);
torch::Tensor fog(const torch::Tensor& picture);
torch::Tensor sepia_vintage(const torch::Tensor& picture);
torch::Tensor black_and_white(const torch::Tensor& picture);
torch::Tensor thermal_camera(const torch::Tensor& picture);
torch::Tensor cyberpunk(const torch::Tensor& picture);

}  // namespace weft
