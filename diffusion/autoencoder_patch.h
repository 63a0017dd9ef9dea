#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "diffusion/autoencoder.h"
#include "diffusion/layers.h"
#include "io/files/safetensors.h"

namespace weft {

/// Fields are the keys of the config.json.
struct PatchAutoencoderConfig {
    int64_t in_channels = 3;
    int64_t latent_channels = 16;
    int64_t patch_size = 8;         // pixels in each direction
    int64_t hidden_channels = 128;  // width of the residual branches, at latent resolution
    int64_t encoder_blocks = 2;
    int64_t decoder_blocks = 4;
    int64_t smooth_channels = 16;  // width of the last stage at full resolution; 0 leaves it out
    double scaling_factor = 1.0;
};

PatchAutoencoderConfig read_patch_autoencoder_config(const Config& config);
/// The text of the config.json.
std::string patch_autoencoder_config_json(const PatchAutoencoderConfig& config);

/// The linear layers of a patch autoencoder in closed form.
struct PatchInit {
    torch::Tensor encoder_weight;  // [channels, values]
    torch::Tensor encoder_bias;    // [channels]
    torch::Tensor decoder_weight;  // [values, channels]
    torch::Tensor decoder_bias;    // [values]
    double explained = 0;  // share of the patches' variance that the latents keep, in [0, 1]
};

/// Residual block at latent resolution: x + conv2(silu(conv1(silu(x)))).
class PatchBlock {
  public:
    PatchBlock(const Weights& weights, int64_t channels);
    torch::Tensor operator()(const torch::Tensor& x) const;

  private:
    Conv2d conv1_;
    Conv2d conv2_;
};

/// A small deterministic autoencoder that a CPU can train and run: patches of pixels go through a
/// linear layer (whitened PCA, unit variance per latent channel) plus a convolutional branch at
/// latent resolution, and back the same way; the decoder's branch reaches over patch borders (its
/// last 3x3 convolution is an overlapping decode) and a last 3x3 stage at full resolution smooths
/// what is left. In create mode all branches start at zero, so that the model starts as its linear
/// layers. Names: {encoder,decoder}.{linear,conv_in,blocks.N.conv1,blocks.N.conv2,conv_out},
/// smooth.{conv1,conv2}.
class PatchAutoencoder : public Autoencoder {
  public:
    PatchAutoencoder(const PatchAutoencoderConfig& config, const Weights& weights);

    /// Whitened PCA of patches [m, values], m > channels, any floating dtype, on any device.
    static PatchInit pca(const torch::Tensor& patches, int64_t channels);
    /// The patches of pictures [n, 3, h, w] (sizes multiples of patch_size): [n * h/p * w/p, 3 * p
    /// * p].
    static torch::Tensor patches(const torch::Tensor& image, int64_t patch_size);

  private:
    Moments encode_whole(const torch::Tensor& image) const override;
    torch::Tensor decode_whole(const torch::Tensor& latent) const override;

    struct Branch {
        Linear linear;
        Conv2d conv_in;
        std::vector<PatchBlock> blocks;
        Conv2d conv_out;
    };

    static Branch make_encoder(const Weights& weights, const PatchAutoencoderConfig& config);
    static Branch make_decoder(const Weights& weights, const PatchAutoencoderConfig& config);
    static torch::Tensor run(const Branch& branch, const torch::Tensor& x);
    torch::Tensor smooth(const torch::Tensor& image) const;

    int64_t patch_size_;
    Branch encoder_;
    Branch decoder_;
    std::vector<Conv2d> smooth_;  // two, or none
};

/// The linear layers as the model's tensors, to be copied into the parameters of the same names.
NamedTensors patch_init_tensors(const PatchInit& init);

/// A trained model whose latents have per-channel mean [c] and standard deviation [c], rewritten so
/// that its latents come out with mean 0 and deviation 1 and decode to the same pictures. `tensors`
/// are all tensors of the model; the result is new.
NamedTensors rewhitened(const NamedTensors& tensors, const torch::Tensor& mean,
                        const torch::Tensor& deviation);

}  // namespace weft
