#pragma once

#include <vector>

#include "diffusion/noise_levels.h"

namespace weft {

/// The steps of a flow-matching model, alpha + sigma = 1, t = sigma train_steps, ending at sigma 0.
/// Each grid starts as diffusers' schedulers of that grid do on such models. Preconditions as for
/// noise_levels, which calls it. UsageError for a grid that walks timesteps of betas.
std::vector<NoiseStep> flow_steps(const Schedule& schedule, const LevelRequest& request);

}  // namespace weft
