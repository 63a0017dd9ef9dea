#pragma once

#include <torch/types.h>

namespace weft {

/// True where flash_attention() computes attention and is faster than LibTorch's: on x86 CPUs with
/// AVX2, without gradients, in f32, and in bf16 where the CPU has no matrix unit for it.
bool can_flash(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v);

/// softmax(q k^T / sqrt(d)) v for each head, in f32: q [n, t, heads * d], k and v
/// [n, t', heads * d] -> [n, t, heads * d] of q's dtype. The same bits for any number of threads.
torch::Tensor flash_attention(const torch::Tensor& q, const torch::Tensor& k,
                              const torch::Tensor& v, int64_t heads);

}  // namespace weft
