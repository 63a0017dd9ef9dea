#pragma once

#include <torch/types.h>

#include <optional>
#include <string>
#include <vector>

#include "diffusion/coupling.h"
#include "diffusion/layers.h"

namespace weft {

struct AttentionShape {
    int64_t width = 0;    // of the queries and of the result
    int64_t context = 0;  // width of what keys and values are made of
    int64_t heads = 1;    // divides width
    bool qkv_bias = false;
    bool out_bias = true;
};

/// Multi-head attention (Vaswani 2017), computed by the fused kernels of LibTorch. Names: to_q,
/// to_k, to_v, to_out.0. Immutable, thread-safe.
class Attention {
  public:
    Attention(const Weights& weights, const AttentionShape& shape);
    /// x [n, t, width], context [n, t', context] -> [n, t, width], plus `added` of that shape where
    /// it is given.
    torch::Tensor operator()(const torch::Tensor& x, const torch::Tensor& context,
                             const torch::Tensor& added = {}) const;

    /// The parts of operator(), for a Coupling: what queries are made of, and what keys and values
    /// are made of, [n, t, ...] -> [n, t, width] each.
    torch::Tensor queries(const torch::Tensor& states) const;
    torch::Tensor keys(const torch::Tensor& states) const;
    torch::Tensor values(const torch::Tensor& states) const;
    /// What queries [n, t, width] find at keys and values [n, t', width] -> [n, t, width], through
    /// the layer's way out, plus `added` where it is given.
    torch::Tensor found(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                        const torch::Tensor& added = {}) const;

    /// Full name of the layer, the site of a Coupling.
    const std::string& site() const { return site_; }

  private:
    std::string site_;
    int64_t heads_;
    Linear to_q_;
    Linear to_k_;
    Linear to_v_;
    Linear to_out_;
};

/// Splits [n, t, heads * d] into heads, attends and joins again. `causal`: token i sees tokens <=
/// i.
struct AttendOptions {
    int64_t heads = 1;
    bool causal = false;
};

torch::Tensor attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                     const AttendOptions& options);

/// Feed-forward with a gated GELU (Shazeer 2020, "GLU variants"): names net.0.proj, net.2.
class FeedForward {
  public:
    FeedForward(const Weights& weights, int64_t width);
    /// [..., width] -> same, plus `added` where it is given.
    torch::Tensor operator()(const torch::Tensor& x, const torch::Tensor& added = {}) const;

  private:
    Geglu proj_;
    Linear out_;
};

struct TransformerShape {
    int64_t channels = 0;
    int64_t heads = 1;
    int64_t context = 0;  // width of encoder_hidden_states
    int64_t layers = 1;
    int64_t norm_groups = 32;
    bool linear_projection = false;
    /// The first attention of a block also sees encoder_hidden_states instead of the picture.
    bool only_cross_attention = false;
};

/// What travels with the picture into every transformer.
struct TransformerContext {
    torch::Tensor encoder_hidden_states;  // [n, t, context]
    Coupling* coupling = nullptr;         // not owned; may be null
};

/// Self-attention, cross-attention and feed-forward, each pre-normalised and residual.
class BasicTransformerBlock {
  public:
    BasicTransformerBlock(const Weights& weights, const TransformerShape& shape);
    /// [n, t, channels] -> same
    torch::Tensor operator()(const torch::Tensor& x, const TransformerContext& context) const;

  private:
    bool only_cross_attention_;
    LayerNorm norm1_;
    Attention attn1_;
    LayerNorm norm2_;
    Attention attn2_;
    LayerNorm norm3_;
    FeedForward ff_;
};

/// Transformer blocks over the pixels of a feature map, residual.
class Transformer2DModel {
  public:
    Transformer2DModel(const Weights& weights, const TransformerShape& shape);
    /// [n, channels, h, w] -> same
    torch::Tensor operator()(const torch::Tensor& x, const TransformerContext& context) const;

  private:
    GroupNorm norm_;
    Linear proj_in_;
    std::vector<BasicTransformerBlock> blocks_;
    Linear proj_out_;
};

}  // namespace weft
