#pragma once

#include <torch/types.h>

#include <optional>
#include <string>
#include <vector>

#include "diffusion/autoencoder.h"
#include "diffusion/layers.h"

namespace weft {

/// Fields are named and defaulted as diffusers' config keys; "latent_magnitude" and "latent_shift"
/// only matter for storing latents as bytes and are not read.
struct AutoencoderTinyConfig {
    int64_t in_channels = 3;
    int64_t out_channels = 3;
    int64_t latent_channels = 4;
    std::vector<int64_t> encoder_block_out_channels = {64, 64, 64, 64};
    std::vector<int64_t> decoder_block_out_channels = {64, 64, 64, 64};
    std::vector<int64_t> num_encoder_blocks = {1, 3, 3, 3};
    std::vector<int64_t> num_decoder_blocks = {3, 3, 3, 1};
    std::string act_fn = "relu";
    double scaling_factor = 1.0;
    double shift_factor = 0.0;
};

AutoencoderTinyConfig read_autoencoder_tiny_config(const Config& config);

/// TAESD (https://github.com/madebyollin/taesd): a small distilled autoencoder for the latents of
/// Stable Diffusion. Tensor names are those of diffusers' sequential layers
/// ("encoder.layers.3.conv.0.weight").
class AutoencoderTiny : public Autoencoder {
  public:
    AutoencoderTiny(const AutoencoderTinyConfig& config, const Weights& weights);

  private:
    /// Three convolutions and a residual connection, ending in a ReLU.
    struct Block {
        Block(const Weights& weights, int64_t channels);
        Conv2d first;
        Conv2d second;
        Conv2d third;
    };

    struct Level {
        std::optional<Conv2d> conv_before;  // encoder: conv_in, then the stride-2 convolutions
        std::vector<Block> blocks;
        std::optional<Conv2d> conv_after;  // decoder: after the doubling, and conv_out
    };

    static std::vector<Level> make_encoder(const Weights& layers,
                                           const AutoencoderTinyConfig& config);
    static std::vector<Level> make_decoder(const Weights& layers,
                                           const AutoencoderTinyConfig& config);
    static std::vector<Block> make_blocks(const Weights& layers, int64_t first, int64_t count,
                                          int64_t channels);

    Moments encode_whole(const torch::Tensor& image) const override;
    torch::Tensor decode_whole(const torch::Tensor& latent) const override;
    torch::Tensor run(const std::vector<Block>& blocks, torch::Tensor x) const;

    Activation activation_;
    std::vector<Level> encoder_;
    Conv2d encoder_out_;
    Conv2d decoder_in_;
    std::vector<Level> decoder_;
};

}  // namespace weft
