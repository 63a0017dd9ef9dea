#pragma once

#include <torch/types.h>

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "diffusion/noise_levels.h"

namespace weft {

/// x [n, c, h, w] at a noise level -> estimate of x0, same shape, f32. Guidance, masks and adapters
/// are decorators of it, whatever the network predicts.
using Denoise = std::function<torch::Tensor(const torch::Tensor& x, const NoiseLevel& level)>;

/// Unit normal noise in the shape of x; `draw` counts from 0. A stochastic sampler asks for draw i
/// in step i (dpmpp_sde for 2i and 2i + 1), each at most once and in rising order.
using StepNoise = std::function<torch::Tensor(int64_t draw)>;

struct SamplerOptions {
    /// How much of the noise is drawn anew at each step, [0, 1]: 0 is deterministic, 1 as noisy as
    /// the reverse diffusion. Not set: Sampler::eta. Samplers without one ignore it.
    std::optional<double> eta;
    /// ddpm, ddim, heun and lcm: clips x0 to [-clip, clip].
    std::optional<double> clip;
    /// Variants by scheduler_config.json: order (dpmpp_2m, dpmpp_2m_sde, unipc, deis), dpm (those
    /// two dpmpp), unipc and disable_corrector (unipc), lower_order_final (all four),
    /// euler_at_final (the dpmpp), skip_prk_steps (pndm), variance (ddpm), timestep_scaling (lcm),
    /// stochastic_sampling (flow_euler).
    SolverConfig solver;
    /// What the network predicts: pndm extrapolates that, as diffusers does, not the noise.
    Prediction prediction = Prediction::epsilon;
    /// Tells the timesteps between those of the steps (pndm, tcd, samplers with two calls a step).
    /// Null: they are interpolated between the steps' own. Must outlive the run.
    const Schedule* schedule = nullptr;
    StepNoise noise;  // must be set where needs_noise() says so
    /// Called after each step with x at the level arrived at. May throw to stop the run.
    std::function<void(int64_t step, const torch::Tensor& x)> on_step;
    /// Called after each network call with where x stands then; inside a step of several calls
    /// that is an intermediate estimate.
    std::function<void(const torch::Tensor& x, const NoiseLevel& level)> on_call;
};

class Walk;  // what a run has in hand; sampler_walk.h

/// A sampler is code: it walks x along noise steps. Rows of the table in samplers.cpp.
///
/// All take any path (x = alpha x0 + sigma noise, variance-preserving or straight) but for pndm,
/// lcm and tcd, which walk timesteps of betas, and flow_euler and flow_heun, which run flow models
/// only; noise_levels refuses other pairs. The multistep ones and ddim, ddpm, lcm, tcd and flow_*
/// work on x itself, the others on x / alpha over sigma / alpha (Karras et al., arXiv 2206.00364),
/// so that their first level must have alpha > 0.
struct Sampler {
    const char* name;
    const char* description;  // one line for the help
    Grid grid;                // how noise_levels must cut the schedule for it
    /// Share of fresh noise where nothing is asked; nullopt: it has no such choice.
    std::optional<double> eta;
    /// Order of convergence to the flow's end, without fresh noise; 0: it does not converge to it.
    int order;
    /// Network calls of a whole run of `steps` steps that ends at sigma 0.
    int64_t (*calls)(int64_t steps, const SolverConfig& solver);
    torch::Tensor (*run)(const Walk& walk, torch::Tensor x);
};

/// All samplers, in the order of the help text.
std::span<const Sampler> samplers();

/// By name; UsageError listing the names otherwise.
const Sampler& sampler_named(const std::string& name);

/// Whether a run draws noise with these options.
bool needs_noise(const Sampler& sampler, const SamplerOptions& options);

/// The options that a model's schedule says; noise and callbacks are left to the caller. Keeps a
/// pointer to the schedule.
SamplerOptions sampler_options(const Sampler& sampler, const Schedule& schedule);

/// Walks x [n, c, h, w] f32 from steps.front().from to steps.back().to; no steps return x as it is.
/// Deterministic given its callbacks. UsageError where pndm's Runge-Kutta start has too few steps.
torch::Tensor sample(const Sampler& sampler, const Denoise& denoise, const torch::Tensor& x,
                     std::span<const NoiseStep> steps, const SamplerOptions& options = {});

/// DDIM run backwards (Song et al., arXiv 2010.02502, section 4.3; diffusers'
/// DDIMInverseScheduler): latents x0 [n, c, h, w] at steps.back().to -> the noise they come from.
/// `steps` are those of the ddim sampler, noise first; the network is told the timestep it is taken
/// to, as if the step were small. `prediction` is what the network behind `denoise` predicts.
/// @return x after each inverted step: steps.size() tensors, the noisiest last
std::vector<torch::Tensor> invert_ddim(const Denoise& denoise, const torch::Tensor& x0,
                                       std::span<const NoiseStep> steps, Prediction prediction);

}  // namespace weft
