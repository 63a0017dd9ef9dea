#pragma once

#include <torch/types.h>

#include "diffusion/layers.h"

namespace weft {

/// One vector for a whole prompt, added to the time embedding (addition_embed_type "text", as
/// diffusers' TextTimeEmbedding): attention pooling with the mean token as the only query, then a
/// projection, a layer norm before and after. Names: norm1,
/// pool.{positional_embedding,k_proj,q_proj,v_proj}, proj, norm2. Immutable, thread-safe.
class TextPooling {
  public:
    struct Shape {
        int64_t context = 0;  // width of the text states
        int64_t out = 0;      // width of the time embedding
        int64_t heads = 64;   // divides context
    };

    TextPooling(const Weights& weights, const Shape& shape);
    /// states [n, t, context] -> [n, out]
    torch::Tensor operator()(const torch::Tensor& states) const;

  private:
    int64_t heads_;
    LayerNorm norm1_;
    torch::Tensor position_;  // [1, context]
    Linear k_proj_;
    Linear q_proj_;
    Linear v_proj_;
    Linear proj_;
    LayerNorm norm2_;
};

}  // namespace weft
