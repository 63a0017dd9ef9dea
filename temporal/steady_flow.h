#pragma once

#include <torch/types.h>

#include "temporal/flow.h"

namespace weft {

/// A flow, but 0 where standing still explains the target as well as moving does. On even ground
/// estimators wander, by pixels and from frame to frame anew; what followed them would flicker.
/// Slow changes of light from picture to picture are set aside.
/// @param offset [n, 2, h, w] on `target`, to `source`, both [n, 3, h, w] in [0, 1]
torch::Tensor steadied(const torch::Tensor& offset, const torch::Tensor& target,
                       const torch::Tensor& source);

/// Both flows.
FlowEvidence steadied(const FlowEvidence& evidence);

}  // namespace weft
