#pragma once

#include <torch/types.h>

#include "diffusion/noise_levels.h"

namespace weft {

// Between what a network says of x = alpha x0 + sigma noise, x0, and the noise. Tensors of one
// shape. Thread-safe: yes.

/// x0 from what the network said about x at a level. epsilon needs alpha > 0.
torch::Tensor to_x0(Prediction prediction, const torch::Tensor& output, const torch::Tensor& x,
                    const NoiseLevel& level);

/// The noise from what the network said about x; sample needs sigma > 0, flow alpha + sigma > 0.
torch::Tensor to_noise(Prediction prediction, const torch::Tensor& output, const torch::Tensor& x,
                       const NoiseLevel& level);

/// What the network said about x where it meant x0: the inverse of to_x0. Needs sigma > 0.
torch::Tensor output_of(Prediction prediction, const torch::Tensor& x0, const torch::Tensor& x,
                        const NoiseLevel& level);

/// What the network should say of x made of x0 and noise, for training and tests.
torch::Tensor target_of(Prediction prediction, const torch::Tensor& x0, const torch::Tensor& noise,
                        const NoiseLevel& level);

}  // namespace weft
