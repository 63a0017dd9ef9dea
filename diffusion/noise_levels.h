#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/schedule_config.h"

namespace weft {

/// One point of a noising path x = alpha x0 + sigma noise. Models with betas keep the variance
/// (alpha^2 + sigma^2 = 1), flow models go straight (alpha + sigma = 1).
struct NoiseLevel {
    double alpha = 1;  // share of the picture, [0, 1]
    double sigma = 0;  // share of the noise, [0, 1]
    double t = 0;      // timestep the network is told, [0, train_steps]; may be fractional

    /// sigma / alpha; infinite in pure noise.
    double ratio() const { return sigma / alpha; }
};

/// One step of a sampler. `to` is the next step's `from`, but for DDIM and PNDM where the steps do
/// not divide the schedule: diffusers' schedulers then arrive a fraction of a timestep beside it,
/// and so do ours.
struct NoiseStep {
    NoiseLevel from;
    NoiseLevel to;
};

/// How a family of diffusers schedulers reads the same spacing name (they differ by a point, by
/// what they round, and by where they end).
enum class Grid {
    ddim,   // whole timesteps; the last step arrives at t = -1 (DDIMScheduler)
    pndm,   // the same, ending at the level of t = 0 unless the config says otherwise (PNDM)
    ddpm,   // whole timesteps, each step arrives at the next one (DDPMScheduler)
    euler,  // fractional timesteps, sigma interpolated, ends at sigma 0 (EulerDiscreteScheduler)
    kdpm,   // the same, timesteps of Karras' spacing rounded (KDPM2DiscreteScheduler)
    dpm,    // whole timesteps out of one more point, ends at sigma 0 (DPMSolverMultistepScheduler)
    unipc,  // the same; sigma_min is that of the spacing (UniPCMultistepScheduler)
    deis,   // the same, always ending at sigma_min (DEISMultistepScheduler)
    lcm,    // a part of the timesteps a consistency model was distilled on (LCMScheduler)
    tcd,    // the same, ending at the level of t = 0 (TCDScheduler)
    flow,   // even in sigma, shifted (FlowMatchEulerDiscreteScheduler); flow models only
};

/// The training noise schedule: data, computed once in f32 exactly as diffusers does. A flow
/// model's has no table: its level at timestep t is sigma = t / train_steps.
/// Thread-safe: yes (immutable).
class Schedule {
  public:
    explicit Schedule(ScheduleConfig config = {});

    const ScheduleConfig& config() const { return config_; }

    int64_t train_steps() const { return config_.train_steps; }

    bool is_flow() const { return config_.flow.has_value(); }

    /// alpha^2 by training timestep: [train_steps] f32 on the CPU, falling. The last one is 0 with
    /// zero_terminal_snr. Undefined for flow models.
    const torch::Tensor& alphas_cumprod() const { return alphas_cumprod_; }

    /// The level at a whole timestep in [0, train_steps) ([0, train_steps] for flow models).
    NoiseLevel level(int64_t t) const;

    /// The level at a fractional timestep in [0, train_steps), sigma / alpha interpolated; it has
    /// alpha > 0.
    NoiseLevel level_at_time(double t) const;

    /// The level of a sigma / alpha in [0, infinity], rounded to f32 as diffusers keeps it; t is
    /// interpolated in the ratio's logarithm.
    NoiseLevel level_at_ratio(double ratio) const;

    /// sigma / alpha by training timestep, rising; with zero_terminal_snr the last is 2^12, not
    /// infinite. Empty for flow models.
    const std::vector<double>& ratios() const { return ratios_; }

  private:
    ScheduleConfig config_;
    std::vector<double> ratios_;
    torch::Tensor alphas_cumprod_;
};

/// What to cut out of a schedule.
struct LevelRequest {
    Grid grid = Grid::ddim;
    std::optional<Spacing> spacing = {};  // not set: the schedule's, else the grid's default
    int64_t steps = 20;                   // [1, train_steps]
    /// [0, 1]: share of the steps that is kept, from the end: the last int(steps * strength), as
    /// diffusers' img2img does, but at least one when strength > 0; none at 0.
    double strength = 1;
    /// Tokens of the picture (latent patches); needed where the flow shift depends on it.
    std::optional<int64_t> image_tokens = {};
};

/// The steps to walk, from noise to picture. UsageError where the steps do not fit the schedule, or
/// the grid or spacing does not fit the kind of model.
/// Grids that work in sigma / alpha start at alpha = 2^-12 where a schedule has 0 (flow models:
/// at alpha = 10^-6, or one training step, as diffusers' schedulers of that grid do).
std::vector<NoiseStep> noise_levels(const Schedule& schedule, const LevelRequest& request);

/// alpha x0 + sigma noise.
torch::Tensor add_noise(const torch::Tensor& x0, const torch::Tensor& noise,
                        const NoiseLevel& level);

/// The factor for unit noise at the start from pure noise (diffusers' init_noise_sigma brought to
/// x's scale): 1, but sigma for the grids euler and kdpm with linspace or trailing spacing.
double initial_scale(const Schedule& schedule, const LevelRequest& request,
                     const NoiseLevel& first);

}  // namespace weft
