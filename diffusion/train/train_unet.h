#pragma once

#include <torch/types.h>

#include <filesystem>

#include "diffusion/tokenizer.h"
#include "diffusion/train/train.h"
#include "diffusion/train/train_autoencoder.h"

namespace weft {

/// Trains UNet and text encoder together on pairs of latents and writes `folder`/unet,
/// `folder`/text_encoder (averaged weights, f16) and `folder`/scheduler.
void train_unet(const Recipe& recipe, const std::filesystem::path& folder,
                const TrainOptions& options, const TrainedAutoencoder& trained,
                const Tokenizer& tokenizer);

}  // namespace weft
