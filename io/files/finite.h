#pragma once

#include <torch/types.h>

namespace weft {

/// True where a tensor holds no NaN and no infinity; integers never do. On the CPU about as fast as
/// memory is read, without a copy (but for 8-bit floats).
bool all_finite(const torch::Tensor& tensor);

}  // namespace weft
