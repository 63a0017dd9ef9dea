#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "diffusion/device.h"
#include "diffusion/train/progress.h"
#include "diffusion/train/recipe.h"
#include "io/files/png.h"

namespace weft {

/// How and where a recipe is trained.
struct TrainOptions {
    Placement placement;  // bf16 or f16: autocast; weights and optimiser stay f32
    TrainHooks hooks;
    /// A model folder of the recipe's shapes to go on from; empty: from nothing. Its tokenizer and
    /// autoencoder are kept as they are.
    std::filesystem::path init;
    /// Pictures [3, h, w] in 0..1 that sample sheets show edited, beside procedural ones.
    std::vector<torch::Tensor> previews;
    /// How sheets are written: [3, h, w] in 0..1 under a name that ends in `picture_suffix`.
    std::function<void(const std::filesystem::path&, const torch::Tensor&)> save_picture = save_png;
    std::string picture_suffix = ".png";
};

/// Trains a model from nothing: tokenizer, autoencoder, then UNet and text encoder together
/// (InstructPix2Pix, https://arxiv.org/abs/2211.09800, with v-prediction and zero terminal SNR,
/// https://arxiv.org/abs/2305.08891). Writes the diffusers layout, a model card and weft.json into
/// `folder`; checkpoints, loss curves and sample sheets into `folder`/training, from where a killed
/// run goes on. Throws Interrupted where hooks.stop is set.
void train(const Recipe& recipe, const std::filesystem::path& folder, const TrainOptions& options);

}  // namespace weft
