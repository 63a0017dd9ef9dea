#pragma once

#include <filesystem>
#include <memory>

#include "diffusion/model_source.h"

namespace weft {

/// `model` with the autoencoder of `path` in place of its own: a .safetensors file in diffusers' or
/// the original naming (with or without "first_stage_model."), which must be of the same shape; a
/// file of TAESD, the small one; or a folder with config.json and a .safetensors file. The latents'
/// scale is the model's own, but for what a folder's config says. Error where it is none of these.
std::shared_ptr<const ModelSource> with_vae(std::shared_ptr<const ModelSource> model,
                                            const std::filesystem::path& path);

}  // namespace weft
