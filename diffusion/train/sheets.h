#pragma once

#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

#include "diffusion/autoencoder.h"
#include "diffusion/denoise.h"
#include "diffusion/noise_levels.h"
#include "diffusion/train/recipe.h"

namespace weft {

/// What sample sheets need of a model in training.
struct SheetModel {
    Network network;
    std::function<torch::Tensor(const std::vector<std::string>&)> encode_text;  // -> [n, t, d]
    const Autoencoder& autoencoder;
    const Schedule& schedule;
    torch::Device device;
};

/// Pictures as rows; source, empty text and every style as columns. Where `previews` ([3, h, w] in
/// 0..1) is empty, procedural scenes take their place.
torch::Tensor edit_sheet(const SheetModel& model, const std::vector<torch::Tensor>& previews,
                         const Recipe& recipe);

/// "a COLOUR KIND ..." pictures made from text alone, 128 x 128 and at the recipe's native size.
torch::Tensor generation_sheet(const SheetModel& model, const Recipe& recipe);

/// Cells [3, h, w] -> one picture with `columns` cells a row, each as large as the largest, and a
/// thin white gap.
torch::Tensor contact_sheet(const std::vector<torch::Tensor>& cells, int64_t columns);

}  // namespace weft
