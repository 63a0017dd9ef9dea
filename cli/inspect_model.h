#pragma once

#include <filesystem>

#include "cli/report.h"

namespace weft {

/// What a model is: a folder in the diffusers layout or a single-file checkpoint. Family,
/// components with their sizes and dtypes, what it predicts, names that no layer takes.
Report describe_model(const std::filesystem::path& path);

/// What a .safetensors file is: a checkpoint, an adapter (LoRA and its kin), one component of a
/// model, or just tensors.
Report describe_tensor_file(const std::filesystem::path& path);

}  // namespace weft
