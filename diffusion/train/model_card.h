#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>

#include "diffusion/train/recipe.h"
#include "diffusion/train/train.h"

namespace weft {

/// Writes README.md (the model card), the loss curve and the last sample sheets of a finished run
/// into `folder`: what the model was trained on, what it can and cannot do, how to make it again.
void write_model_card(const Recipe& recipe, const std::filesystem::path& folder,
                      const TrainOptions& options);

/// One stage's loss over steps as a picture [3, h, w] in 0..1, read from its "STAGE_loss.tsv"; an
/// empty chart where there is none.
torch::Tensor loss_chart(const std::filesystem::path& losses);

}  // namespace weft
