#pragma once

#include <torch/types.h>

namespace weft {

/// True where a tensor holds no NaN and no infinity; integers never do. On the CPU about as fast as
/// memory is read, without a copy of the whole.
bool all_finite(const torch::Tensor& tensor);

}  // namespace weft
