#pragma once

#include <torch/types.h>

#include <optional>
#include <vector>

#include "diffusion/attention.h"
#include "diffusion/layers.h"
#include "diffusion/text_embedding.h"
#include "diffusion/unet_blocks.h"
#include "diffusion/unet_config.h"

namespace weft {

/// What a Unet keeps of its deep levels from one call to the next (DeepCache, Ma et al., arXiv
/// 2312.00858): between neighbouring steps they change little, and they are most of the work.
/// Belongs to one run of steps over one batch.
struct DeepFeatures {
    /// [n, c, h, w] what enters the last two layers of the way up; undefined before the first call.
    torch::Tensor features = {};
    /// The next call takes `features` as they are and runs the outermost layers only: conv_in, the
    /// first layer of the way down, the last two of the way up. Otherwise it renews them.
    bool reuse = false;
};

/// Optional inputs of a Unet; which are needed is decided by its config.
struct UnetInputs {
    torch::Tensor text_embeds = {};    // [n, d] pooled text, for addition_embed_type "text_time"
    torch::Tensor time_ids = {};       // [n, 6] sizes and crop, for "text_time"
    torch::Tensor timestep_cond = {};  // [n, time_cond_proj_dim]; may stay undefined
    torch::Tensor class_labels = {};   // [n] ids or times, or [n, d] vectors, by class_embed_type
    /// Of a ControlNet: one map for each skip, from conv_in down, and one for the middle.
    std::vector<torch::Tensor> down_block_additional_residuals = {};
    torch::Tensor mid_block_additional_residual = {};
    Coupling* coupling = nullptr;  // not owned; null: nothing steps in
    DeepFeatures* deep = nullptr;  // not owned; null: every call runs all layers
};

/// Two linear layers with an activation between: names linear_1, linear_2, optional cond_proj.
class TimestepEmbedding {
  public:
    struct Shape {
        int64_t in = 0;
        int64_t out = 0;
        std::optional<int64_t> cond = {};  // width of the condition added to the input
        Activation activation = Activation::silu;
    };

    TimestepEmbedding(const Weights& weights, const Shape& shape);
    /// x [n, in], cond [n, cond] or undefined -> [n, out]
    torch::Tensor operator()(torch::Tensor x, const torch::Tensor& cond = {}) const;

  private:
    Activation activation_;
    std::optional<Linear> cond_proj_;
    Linear linear_1_;
    Linear linear_2_;
};

/// The conditional UNet of latent diffusion (Rombach 2022), as diffusers' UNet2DConditionModel,
/// with its tensor names. In create mode residual branches and the output start at zero. Immutable,
/// thread-safe.
class Unet {
  public:
    /// Throws Error where the config or the weights do not fit.
    Unet(const UnetConfig& config, const Weights& weights);

    /// One prediction of the network; any height and width >= 1.
    /// @param sample [n, in_channels, h, w] noisy latent (with its image or mask channels)
    /// @param timestep [n] or scalar, in [0, train steps)
    /// @param encoder_hidden_states [n, t, cross_attention_dim] text states
    /// @return [n, out_channels, h, w] in the sample's dtype
    torch::Tensor operator()(const torch::Tensor& sample, const torch::Tensor& timestep,
                             const torch::Tensor& encoder_hidden_states,
                             const UnetInputs& inputs = {}) const;

    const UnetConfig& config() const { return config_; }

  private:
    torch::Tensor embed_time(const torch::Tensor& timestep, int64_t batch,
                             const UnetInputs& inputs) const;
    torch::Tensor embed_class(const torch::Tensor& labels) const;
    torch::Tensor embed_text_time(const UnetInputs& inputs) const;
    torch::Tensor positions(const torch::Tensor& values, int64_t dim) const;
    torch::Tensor all_levels(const torch::Tensor& x, const UnetState& state,
                             const UnetInputs& inputs) const;
    torch::Tensor outer_layers(const torch::Tensor& x, const UnetState& state,
                               const UnetInputs& inputs) const;

    UnetConfig config_;
    torch::ScalarType dtype_;
    Conv2d conv_in_;
    TimestepEmbedding time_embedding_;
    std::optional<Embedding> class_table_;
    std::optional<TimestepEmbedding> class_embedding_;
    std::optional<Linear> class_projection_;
    std::optional<TimestepEmbedding> add_embedding_;
    std::optional<TextPooling> text_pooling_;
    std::vector<UnetDownBlock> down_blocks_;
    std::optional<UnetMidBlock> mid_block_;
    std::vector<UnetUpBlock> up_blocks_;
    GroupNorm conv_norm_out_;
    Conv2d conv_out_;
};

}  // namespace weft
