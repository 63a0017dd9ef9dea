#pragma once

#include <torch/types.h>

#include <optional>
#include <string>
#include <vector>

#include "diffusion/layers.h"

namespace weft {

/// How the frames of a batch see each other. Every self-attention site asks which states its keys
/// and values are made of; without a coupling each frame sees itself alone. Implementations may be
/// called many times within one network call; they decide themselves whether they are thread-safe.
class Coupling {
  public:
    Coupling() = default;
    Coupling(const Coupling&) = delete;
    Coupling& operator=(const Coupling&) = delete;
    virtual ~Coupling() = default;

    /// @param site   full weight name of the attention, e.g.
    /// "mid_block.attentions.0.transformer_blocks.0.attn1"
    /// @param states [n, t, d] the site's normalised input
    /// @return [n, t', d] what keys and values are made of; the same n, any t' > 0
    virtual torch::Tensor context(const std::string& site, const torch::Tensor& states) const = 0;
};

/// Frame i of the batch sees itself and the frames references[i] of the same batch.
class BatchCoupling : public Coupling {
  public:
    /// @param references [n, r] i64, indices into the batch
    explicit BatchCoupling(torch::Tensor references);
    /// [n, t, d] -> [n, (1 + r) * t, d]
    torch::Tensor context(const std::string& site, const torch::Tensor& states) const override;

  private:
    torch::Tensor references_;
};

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

    /// Full name of the layer, the `site` of a Coupling.
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
    const Coupling* coupling = nullptr;   // not owned; may be null
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
