#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>

#include "diffusion/autoencoder_patch.h"
#include "diffusion/train/train.h"

namespace weft {

/// A trained autoencoder and what the denoiser's loss needs to know of it.
struct TrainedAutoencoder {
    std::unique_ptr<const Autoencoder> autoencoder;  // f32, no gradients
    /// [c], mean 1: square root of how much of the picture a unit of each latent channel moves.
    torch::Tensor channel_weight;
};

/// Starts the patch autoencoder at the PCA of patches and trains its branches on crops of
/// procedural scenes: L1 + weighted L1 of gradients, with noise on the latents. Writes `folder`/vae
/// (f16) with latents of mean 0 and deviation 1 over the scenes.
TrainedAutoencoder train_autoencoder(const Recipe& recipe, const std::filesystem::path& folder,
                                     const TrainOptions& options);

}  // namespace weft
