#pragma once

#include "diffusion/probe.h"

namespace weft {

/// The component "sample": a whole run, as diffusers' pipelines do it. Its tensors:
///   latents [n, c, h, w]        unit noise, n pictures
///   image [1 or n, 3, H, W]     source in [0, 1] (or [-1, 1] where it has negative values), for
///                               runs that start from a picture, edit it or fill it in; the small
///                               picture of an upscaler
///   mask_image [1 or n, 1, H, W]  inpainting models: 1 is painted anew; missing: all of it
///   depth_map [n, hm, wm]       depth models
///   image_noise, noise_level    upscalers: unit noise like image, and its timestep
NamedTensors probe_sample(const ProbeRequest& request);

}  // namespace weft
