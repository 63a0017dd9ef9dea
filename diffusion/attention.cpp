#include "diffusion/attention.h"

#include "diffusion/flash_attention.h"

namespace weft {
namespace {

// The tokens of a feature map: [n, c, h, w] -> [n, h * w, c], a view where x is channels-last.
torch::Tensor to_tokens(const torch::Tensor& x) {
    return x.permute({0, 2, 3, 1}).reshape({x.size(0), x.size(2) * x.size(3), x.size(1)});
}

// [n, h * w, c] -> [n, c, h, w], channels-last.
torch::Tensor to_map(const torch::Tensor& tokens, int64_t height, int64_t width) {
    return tokens.reshape({tokens.size(0), height, width, tokens.size(2)}).permute({0, 3, 1, 2});
}

// [n, t, heads * d] -> [n, heads, t, d]
torch::Tensor split_heads(const torch::Tensor& x, int64_t heads) {
    return x.reshape({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

AttentionShape self_attention(const TransformerShape& shape) {
    return {.width = shape.channels,
            .context = shape.only_cross_attention ? shape.context : shape.channels,
            .heads = shape.heads};
}

std::vector<BasicTransformerBlock> make_blocks(const Weights& weights,
                                               const TransformerShape& shape) {
    std::vector<BasicTransformerBlock> blocks;
    for (int64_t i = 0; i < shape.layers; ++i) {
        blocks.emplace_back(weights.scope("transformer_blocks", i), shape);
    }
    return blocks;
}

}  // namespace

torch::Tensor attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                     const AttendOptions& options) {
    if (!options.causal && can_flash(q, k, v)) {
        return flash_attention(q, k, v, options.heads);
    }
    const torch::Tensor joined = torch::scaled_dot_product_attention(
        split_heads(q, options.heads), split_heads(k, options.heads), split_heads(v, options.heads),
        /*attn_mask=*/{}, /*dropout_p=*/0.0, options.causal);  // [n, heads, t, d]
    return joined.transpose(1, 2).reshape({q.size(0), q.size(1), v.size(2)});
}

Attention::Attention(const Weights& weights, const AttentionShape& shape)
    : site_(site_of(weights)),
      heads_(shape.heads),
      to_q_(weights.scope("to_q"), shape.width, shape.width, {.bias = shape.qkv_bias}),
      to_k_(weights.scope("to_k"), shape.context, shape.width, {.bias = shape.qkv_bias}),
      to_v_(weights.scope("to_v"), shape.context, shape.width, {.bias = shape.qkv_bias}),
      to_out_(weights.scope("to_out", 0), shape.width, shape.width, {.bias = shape.out_bias}) {
    TORCH_CHECK(heads_ > 0 && shape.width % heads_ == 0, site_, ": width ", shape.width,
                " does not divide into ", heads_, " heads");
}

torch::Tensor Attention::operator()(const torch::Tensor& x, const torch::Tensor& context,
                                    const torch::Tensor& added) const {
    return found(queries(x), keys(context), values(context), added);
}

torch::Tensor Attention::queries(const torch::Tensor& states) const {
    return to_q_(states);
}

torch::Tensor Attention::keys(const torch::Tensor& states) const {
    return to_k_(states);
}

torch::Tensor Attention::values(const torch::Tensor& states) const {
    return to_v_(states);
}

torch::Tensor Attention::found(const torch::Tensor& q, const torch::Tensor& k,
                               const torch::Tensor& v, const torch::Tensor& added) const {
    return to_out_(attend(q, k, v, {.heads = heads_}), added);
}

FeedForward::FeedForward(const Weights& weights, int64_t width)
    : proj_(weights.scope("net", 0).scope("proj"), width, 4 * width),
      out_(weights.scope("net", 2), 4 * width, width) {}

torch::Tensor FeedForward::operator()(const torch::Tensor& x, const torch::Tensor& added) const {
    return out_(proj_(x), added);
}

BasicTransformerBlock::BasicTransformerBlock(const Weights& weights, const TransformerShape& shape)
    : only_cross_attention_(shape.only_cross_attention),
      norm1_(weights.scope("norm1"), shape.channels),
      attn1_(weights.scope("attn1"), self_attention(shape)),
      norm2_(weights.scope("norm2"), shape.channels),
      attn2_(weights.scope("attn2"),
             {.width = shape.channels, .context = shape.context, .heads = shape.heads}),
      norm3_(weights.scope("norm3"), shape.channels),
      ff_(weights.scope("ff"), shape.channels) {}

torch::Tensor BasicTransformerBlock::operator()(const torch::Tensor& x,
                                                const TransformerContext& context) const {
    const torch::Tensor own = norm1_(x);
    torch::Tensor y;
    if (only_cross_attention_) {
        y = attn1_(own, context.encoder_hidden_states, x);
    } else if (context.coupling != nullptr) {
        y = x + context.coupling->attend(attn1_, own);
    } else {
        y = attn1_(own, own, x);
    }
    y = attn2_(norm2_(y), context.encoder_hidden_states, y);
    return ff_(norm3_(y), y);
}

Transformer2DModel::Transformer2DModel(const Weights& weights, const TransformerShape& shape)
    : norm_(weights.scope("norm"), shape.norm_groups, shape.channels, 1e-6),
      proj_in_(weights.scope("proj_in"), shape.channels, shape.channels,
               {.pointwise = !shape.linear_projection}),
      blocks_(make_blocks(weights, shape)),
      proj_out_(weights.scope("proj_out"), shape.channels, shape.channels,
                {.init = {Init::Kind::zeros}, .pointwise = !shape.linear_projection}) {}

torch::Tensor Transformer2DModel::operator()(const torch::Tensor& x,
                                             const TransformerContext& context) const {
    torch::Tensor tokens = proj_in_(to_tokens(norm_(x)));
    for (const BasicTransformerBlock& block : blocks_) {
        tokens = block(tokens, context);
    }
    return to_map(proj_out_(tokens, to_tokens(x)), x.size(2), x.size(3));
}

}  // namespace weft
