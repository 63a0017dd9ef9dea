#pragma once

#include <torch/types.h>

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "diffusion/noise_levels.h"

namespace weft {

/// x [n, c, h, w] at a noise level -> estimate of x0, same shape, f32. Guidance, masks and adapters
/// are decorators of it, whatever the network predicts.
using Denoise = std::function<torch::Tensor(const torch::Tensor& x, const NoiseLevel& level)>;

/// Unit normal noise in the shape of x for a stochastic step; `step` counts from 0.
using StepNoise = std::function<torch::Tensor(int64_t step)>;

struct SamplerOptions {
    /// ddim: 0 deterministic, 1 as noisy as DDPM; range [0, 1]. Above 0 `noise` must be set.
    double eta = 0;
    /// ddim: clips x0 to [-clip, clip].
    std::optional<double> clip;
    StepNoise noise;
    /// Called after each step with x at the level arrived at (variance-preserving scale). May throw
    /// to stop the run.
    std::function<void(int64_t step, const torch::Tensor& x)> on_step;
};

/// A sampler is code: it walks x along noise steps. Rows of the table in samplers.cpp.
struct Sampler {
    const char* name;
    const char* description;  // one line for the help
    Grid grid;                // how noise_levels must cut the schedule for it
    torch::Tensor (*run)(const Denoise& denoise, torch::Tensor x, std::span<const NoiseStep> steps,
                         const SamplerOptions& options);
};

/// All samplers, in the order of the help text.
std::span<const Sampler> samplers();

/// By name; UsageError listing the names otherwise.
const Sampler& sampler_named(const std::string& name);

/// Walks x [n, c, h, w] f32 from steps.front().from to steps.back().to, all in the
/// variance-preserving scale; no steps return x as it is. Deterministic given its callbacks.
torch::Tensor sample(const Sampler& sampler, const Denoise& denoise, const torch::Tensor& x,
                     std::span<const NoiseStep> steps, const SamplerOptions& options = {});

}  // namespace weft
