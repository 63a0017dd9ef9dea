#pragma once

#include <torch/types.h>

#include <filesystem>

#include "diffusion/autoencoder.h"
#include "diffusion/tokenizer.h"
#include "diffusion/train/train.h"

namespace weft {

/// Trains UNet and text encoder together on pairs of latents and writes `folder`/unet,
/// `folder`/text_encoder (averaged weights, f16) and `folder`/scheduler.
/// @param channel_weight [c] weight of each latent channel in the loss, mean 1
void train_unet(const Recipe& recipe, const std::filesystem::path& folder,
                const TrainOptions& options, const Autoencoder& autoencoder,
                const Tokenizer& tokenizer, const torch::Tensor& channel_weight);

}  // namespace weft
