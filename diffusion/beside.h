#pragma once

#include <torch/types.h>

#include "diffusion/model.h"

namespace weft {

/// What an inpainting model is fed: the mask brought to latents' size (nearest), and the latents of
/// the picture with mid-grey where the mask is 0.5 or more.
/// @param image [1 or n, 3, h, w] in [0, 1]
/// @param mask [1 or n, 1, h, w] in [0, 1]; 1 is painted anew
BesideInputs inpainting_inputs(const DiffusionModel& model, const torch::Tensor& image,
                               const torch::Tensor& mask);

/// What a depth model is fed: the map brought to latents of h x w (bicubic), each spread to
/// [-1, 1].
/// @param map [n, hm, wm] any units, larger is nearer (relative inverse depth, as MiDaS gives it)
BesideInputs depth_inputs(const torch::Tensor& map, int64_t h, int64_t w);

/// What an upscaler is fed: the small picture with noise of timestep `level` of its own schedule.
/// @param image [n, 3, h, w] in [0, 1]
/// @param noise of the same shape, unit variance
/// @param level [0, 349]; more noise, more invention
BesideInputs upscaler_inputs(const DiffusionModel& model, const torch::Tensor& image,
                             const torch::Tensor& noise, int64_t level);

}  // namespace weft
