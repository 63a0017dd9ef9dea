#pragma once

#include <torch/types.h>

#include <optional>
#include <string>
#include <vector>

#include "io/files/config.h"

namespace weft {

/// What a network was trained to predict of x = alpha x0 + sigma noise: the noise, the velocity
/// v = alpha noise - sigma x0 (Salimans and Ho, arXiv 2202.00512), or x0 itself.
enum class Prediction { epsilon, v, sample };

/// How a number of steps cuts the training schedule; see Lin et al., arXiv 2305.08891, table 2.
/// `karras` spaces sigma / alpha by its 7th root (Karras et al., arXiv 2206.00364, eq. 5).
enum class Spacing { leading, linspace, trailing, karras };

/// One point of the noise schedule in the variance-preserving convention: alpha^2 + sigma^2 = 1.
struct NoiseLevel {
    double alpha = 1;  // share of the picture, [0, 1]
    double sigma = 0;  // share of the noise, [0, 1]
    double t = 0;      // training timestep the network is told, [0, train_steps); may be fractional
};

/// One step of a sampler. `to` is the next step's `from`, but for DDIM where the steps do not
/// divide the schedule: diffusers' DDIM then arrives a fraction of a timestep beside it, and so
/// does ours.
struct NoiseStep {
    NoiseLevel from;
    NoiseLevel to;
};

/// How a family of diffusers schedulers reads the same spacing name (they differ by a point).
enum class Grid {
    ddim,   // whole timesteps; the last step arrives at t = -1 (DDIMScheduler)
    euler,  // fractional timesteps, sigma interpolated, ends at sigma 0 (EulerDiscreteScheduler)
    dpm,    // whole timesteps out of one more point, ends at sigma 0 (DPMSolverMultistepScheduler)
};

/// The keys of scheduler_config.json that define a schedule, with diffusers' defaults.
struct ScheduleConfig {
    enum class Betas { linear, scaled_linear, squaredcos_cap_v2 };
    int64_t train_steps = 1000;
    double beta_start = 0.0001;
    double beta_end = 0.02;
    std::vector<double> trained_betas;  // where given, instead of a curve: train_steps values
    Betas betas = Betas::linear;
    Prediction prediction = Prediction::epsilon;
    /// Shift the curve so that the last level is pure noise (arXiv 2305.08891, algorithm 1).
    bool zero_terminal_snr = false;
    /// Not set: the sampler family's own default (leading for ddim, linspace for the others).
    std::optional<Spacing> spacing;
    bool karras = false;  // use_karras_sigmas: karras on top of `spacing`
    int64_t steps_offset = 0;
    /// DDIM's last step arrives at x0 (true) or at the level of t = 0 (false).
    bool set_alpha_to_one = true;
    /// Grids euler and dpm: the last step arrives at the level of t = 0 instead of x0.
    bool final_sigma_min = false;
    /// DDIM clips x0 to [-clip, clip]; for models that work on pixels. diffusers' default is 1,
    /// which its pipelines and DiffusionModel undo for latents.
    std::optional<double> clip;
};

/// Reads scheduler_config.json of any of diffusers' schedulers over betas. Error for an unknown
/// value (named with the known ones) or a number out of range.
ScheduleConfig read_schedule_config(const Config& config);

/// Names as on the command line and in scheduler_config.json; an unknown name is a UsageError that
/// lists the known ones.
Spacing spacing_named(const std::string& name);
const char* name_of(Spacing spacing);

/// The training noise schedule: data, computed once in f32 exactly as diffusers does.
/// Thread-safe: yes (immutable).
class Schedule {
  public:
    explicit Schedule(ScheduleConfig config = {});

    const ScheduleConfig& config() const { return config_; }

    int64_t train_steps() const { return config_.train_steps; }

    /// alpha^2 by training timestep: [train_steps] f32 on the CPU, falling. The last one is 0 with
    /// zero_terminal_snr.
    const torch::Tensor& alphas_cumprod() const { return alphas_cumprod_; }

    /// The level at a whole timestep in [0, train_steps).
    NoiseLevel level(int64_t t) const;

    /// sigma / alpha by training timestep, rising; with zero_terminal_snr the last is 2^12, not
    /// infinite.
    const std::vector<double>& ratios() const { return ratios_; }

  private:
    ScheduleConfig config_;
    std::vector<double> ratios_;
    torch::Tensor alphas_cumprod_;
};

/// What to cut out of a schedule.
struct LevelRequest {
    Grid grid = Grid::ddim;
    std::optional<Spacing> spacing;  // not set: the schedule's, else the grid's default
    int64_t steps = 20;              // [1, train_steps]
    /// [0, 1]: share of the steps that is kept, from the end: the last int(steps * strength), as
    /// diffusers' img2img does, but at least one when strength > 0; none at 0.
    double strength = 1;
};

/// The steps to walk, from noise to picture. Error where the steps do not fit the schedule.
/// Grids `euler` and `dpm` divide by alpha and so start at alpha = 2^-12 where a schedule has 0.
std::vector<NoiseStep> noise_levels(const Schedule& schedule, const LevelRequest& request);

/// alpha x0 + sigma noise.
torch::Tensor add_noise(const torch::Tensor& x0, const torch::Tensor& noise,
                        const NoiseLevel& level);

/// The factor for unit noise at the start from pure noise (diffusers' init_noise_sigma brought to
/// the variance-preserving scale): 1, but sigma for the euler grid with linspace or trailing
/// spacing.
double initial_scale(const Schedule& schedule, const LevelRequest& request,
                     const NoiseLevel& first);

}  // namespace weft
