#pragma once

#include <torch/types.h>

namespace weft {

// Correspondence of tokens by the cosine of their states (TokenFlow, arXiv 2307.10373, eq. 5).

/// States scaled to unit length, f32: [..., d] -> same shape. Zeros stay zeros.
torch::Tensor unit_tokens(const torch::Tensor& states);

/// For each of t tokens the place of the most similar one among t' others.
/// @param tokens [t, d], others [t', d], both of unit_tokens
/// @return [t] i64. At most 16 MiB of similarities are held at a time.
torch::Tensor nearest_tokens(const torch::Tensor& tokens, const torch::Tensor& others);

}  // namespace weft
