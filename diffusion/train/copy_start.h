#pragma once

#include "diffusion/unet_config.h"
#include "io/files/safetensors.h"

namespace weft {

/// Lets a new source-conditioned UNet start as one that answers with (a rough) copy of its source,
/// so that it learns the edit and not first how to see. Each input channel x travels through
/// conv_in, the skip and the last block's shortcut as the pair (x, -x); because silu(x) - silu(-x)
/// = x, conv_out gets it back unbent, and it starts as v = 0.35 noisy - source, which is about
/// right in the middle of the schedule. Does nothing for networks that are too narrow for the
/// pairs.
/// @param unet the created tensors, named without a prefix; written in place
void start_as_copy(const NamedTensors& unet, const UnetConfig& config);

}  // namespace weft
