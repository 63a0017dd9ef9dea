#pragma once

#include <filesystem>
#include <memory>

#include "diffusion/model.h"
#include "diffusion/model_source.h"
#include "diffusion/noise_levels.h"

namespace weft {

/// The model at `path`, with the autoencoder that `options` put in place of its own.
std::shared_ptr<const ModelSource> open_model(const std::filesystem::path& path,
                                              const ModelOptions& options);

/// Out of the configs alone. Error where they are of no known family or contradict each other.
ModelTraits model_traits(const ModelSource& source, const ModelOptions& options);

/// The schedule of a latent model: what its scheduler's config says, but for what diffusers'
/// pipelines of its family undo (clipping, an old offset) and what a few-step variant needs.
Schedule latent_schedule(const ModelSource& source, const ModelTraits& traits,
                         const ModelOptions& options);

}  // namespace weft
