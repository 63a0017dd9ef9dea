#pragma once

#include <torch/types.h>

#include <optional>
#include <vector>

#include "diffusion/attention.h"
#include "diffusion/autoencoder.h"
#include "diffusion/resnet.h"

namespace weft {

/// Fields are named and defaulted as diffusers' config keys.
struct AutoencoderKLConfig {
    int64_t in_channels = 3;
    int64_t out_channels = 3;
    std::vector<int64_t> block_out_channels = {
        64};  // one a level; each but the last halves the size
    int64_t layers_per_block = 1;
    int64_t latent_channels = 4;
    int64_t norm_num_groups = 32;
    std::string act_fn = "silu";
    double scaling_factor = 0.18215;
    double shift_factor = 0.0;
    bool use_quant_conv = true;
    bool use_post_quant_conv = true;
    bool mid_block_add_attention = true;
};

AutoencoderKLConfig read_autoencoder_kl_config(const Config& config);

/// Two residual blocks with a single-headed attention between them.
class AutoencoderMidBlock {
  public:
    AutoencoderMidBlock(const Weights& weights, const ResnetShape& shape, bool attends);
    torch::Tensor operator()(torch::Tensor x) const;

  private:
    torch::Tensor attend_pixels(const torch::Tensor& x) const;

    ResnetBlock2D first_;
    std::optional<GroupNorm> norm_;
    std::optional<Attention> attention_;
    ResnetBlock2D second_;
};

/// The encoder of an AutoencoderKL: picture -> [n, 2 * latent_channels, h/f, w/f].
class KLEncoder {
  public:
    KLEncoder(const Weights& weights, const AutoencoderKLConfig& config);
    torch::Tensor operator()(const torch::Tensor& image) const;
    /// The same for one frame, stripe by stripe (Note [Stripes]); no gradients.
    torch::Tensor in_stripes(const torch::Tensor& image, const Stripes& stripes) const;

  private:
    struct Level {
        std::vector<ResnetBlock2D> resnets;
        std::optional<Downsample2D> downsampler;
    };

    static std::vector<Level> make_levels(const Weights& weights,
                                          const AutoencoderKLConfig& config);

    Activation activation_;
    Conv2d conv_in_;
    std::vector<Level> levels_;
    AutoencoderMidBlock mid_block_;
    GroupNorm conv_norm_out_;
    Conv2d conv_out_;
};

/// The decoder of an AutoencoderKL: latent -> picture.
class KLDecoder {
  public:
    KLDecoder(const Weights& weights, const AutoencoderKLConfig& config);
    torch::Tensor operator()(const torch::Tensor& latent) const;
    /// The same for one frame, stripe by stripe; no gradients.
    torch::Tensor in_stripes(const torch::Tensor& latent, const Stripes& stripes) const;

  private:
    struct Level {
        std::vector<ResnetBlock2D> resnets;
        std::optional<Upsample2D> upsampler;
    };

    static std::vector<Level> make_levels(const Weights& weights,
                                          const AutoencoderKLConfig& config);

    Activation activation_;
    Conv2d conv_in_;
    AutoencoderMidBlock mid_block_;
    std::vector<Level> levels_;
    GroupNorm conv_norm_out_;
    Conv2d conv_out_;
};

/// The KL-regularised autoencoder of Stable Diffusion (Rombach 2022), with diffusers' tensor names;
/// the attention's older names (query, key, value, proj_attn) are read as well. Where gradients are
/// off frames are taken one at a time and in stripes: memory grows with one frame's largest maps
/// (2 KB a pixel at Stable Diffusion's widths in f32, half of it in bf16), not with their number.
class AutoencoderKL : public Autoencoder {
  public:
    AutoencoderKL(const AutoencoderKLConfig& config, const Weights& weights);

  private:
    Moments encode_whole(const torch::Tensor& image) const override;
    torch::Tensor decode_whole(const torch::Tensor& latent) const override;

    KLEncoder encoder_;
    KLDecoder decoder_;
    std::optional<Conv2d> quant_conv_;
    std::optional<Conv2d> post_quant_conv_;
};

}  // namespace weft
