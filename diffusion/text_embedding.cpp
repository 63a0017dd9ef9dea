#include "diffusion/text_embedding.h"

namespace weft {

TextPooling::TextPooling(const Weights& weights, const Shape& shape)
    : heads_(shape.heads),
      norm1_(weights.scope("norm1"), shape.context),
      position_(weights.scope("pool").at("positional_embedding", {1, shape.context},
                                         {Init::Kind::kaiming_normal, 1.0})),
      k_proj_(weights.scope("pool").scope("k_proj"), shape.context, shape.context),
      q_proj_(weights.scope("pool").scope("q_proj"), shape.context, shape.context),
      v_proj_(weights.scope("pool").scope("v_proj"), shape.context, shape.context),
      proj_(weights.scope("proj"), shape.context, shape.out),
      norm2_(weights.scope("norm2"), shape.out) {
    TORCH_CHECK(shape.heads > 0 && shape.context % shape.heads == 0,
                "text pooling: ", shape.context, " channels in ", shape.heads, " heads");
}

torch::Tensor TextPooling::operator()(const torch::Tensor& states) const {
    const torch::Tensor x = norm1_(states);
    const torch::Tensor query = x.mean(1, true) + position_.to(x.scalar_type());  // [n, 1, d]
    const torch::Tensor all = torch::cat({query, x}, 1);                          // [n, 1 + t, d]
    const auto heads = [&](const torch::Tensor& y) {
        return y.unflatten(-1, {heads_, y.size(-1) / heads_})
            .transpose(1, 2);  // [n, heads, ., d/heads]
    };
    const torch::Tensor pooled = torch::scaled_dot_product_attention(
        heads(q_proj_(query)), heads(k_proj_(all)), heads(v_proj_(all)));  // [n, heads, 1, d/heads]
    return norm2_(proj_(pooled.flatten(1)));
}

}  // namespace weft
