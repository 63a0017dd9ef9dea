#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/files/config.h"

namespace weft {

/// What a network was trained to predict of x = alpha x0 + sigma noise: the noise, the velocity
/// v = alpha noise - sigma x0 (Salimans and Ho, arXiv 2202.00512), x0 itself, or the flow
/// noise - x0 (Lipman et al., arXiv 2210.02747).
enum class Prediction { epsilon, v, sample, flow };

/// How a number of steps cuts the training schedule. The first three take timesteps, see Lin et
/// al., arXiv 2305.08891, table 2. The others take sigma / alpha between the ends:
/// `karras` even in its 7th root (Karras et al., arXiv 2206.00364, eq. 5), `exponential` in its
/// logarithm, `beta` at the quantiles of Beta(0.6, 0.6) (Lee et al., arXiv 2407.12173), `ays` by
/// the tables of Align Your Steps (Sabour et al., arXiv 2404.14507).
enum class Spacing { leading, linspace, trailing, karras, exponential, beta, ays };

/// Which of the Align Your Steps tables fits a model.
enum class AysTable { sd1, sdxl, svd };

/// How a flow model's noise levels are shifted towards noise, larger pictures more (Esser et al.,
/// arXiv 2403.03206, eq. 23). Names of keys in FlowMatchEulerDiscreteScheduler.
struct FlowShift {
    double shift = 1;
    /// The shift follows the number of tokens: linear between the two bases (use_dynamic_shifting).
    bool dynamic = false;
    double base_shift = 0.5;
    double max_shift = 1.15;
    int64_t base_image_seq_len = 256;
    int64_t max_image_seq_len = 4096;
    bool exponential = true;              // time_shift_type: the dynamic shift is exp(mu), else mu
    std::optional<double> terminal = {};  // shift_terminal: the last level is stretched to it
};

/// The keys of scheduler_config.json that choose between variants of a solver, with diffusers'
/// defaults. Which sampler reads which is said in samplers.h.
struct SolverConfig {
    enum class Dpm { midpoint, heun };
    enum class UniPc { bh1, bh2 };
    enum class DdpmVariance { fixed_small, fixed_large };
    int64_t order = 2;              // solver_order, [1, 3]
    Dpm dpm = Dpm::midpoint;        // solver_type
    UniPc unipc = UniPc::bh2;       // solver_type
    bool lower_order_final = true;  // in short runs the last steps are of lower order
    bool euler_at_final = false;
    std::vector<int64_t> disable_corrector;  // steps without UniPC's corrector
    bool skip_prk_steps = false;             // PNDM starts with PLMS instead of Runge-Kutta
    DdpmVariance variance = DdpmVariance::fixed_small;  // variance_type
    int64_t original_inference_steps = 50;              // LCM, TCD: steps of the distilled model
    double timestep_scaling = 10;                       // LCM
    bool stochastic_sampling = false;                   // flow_euler: noise anew at every step
};

/// What scheduler_config.json says, with diffusers' defaults.
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
    /// use_{karras,exponential,beta}_sigmas: that spacing on top of `spacing`.
    std::optional<Spacing> ratio_spacing;
    std::optional<double> sigma_min;  // ends of karras, exponential and beta, in sigma / alpha
    std::optional<double> sigma_max;
    AysTable ays = AysTable::sd1;
    int64_t steps_offset = 0;
    /// DDIM's and PNDM's last step arrives at x0 (true) or at the level of t = 0 (false). Not set:
    /// true for DDIM, false for PNDM.
    std::optional<bool> set_alpha_to_one;
    /// Grids euler, dpm and unipc: the last step arrives at sigma_min instead of x0.
    bool final_sigma_min = false;
    /// x0 is clipped to [-clip, clip]; for models that work on pixels. diffusers' default is 1 for
    /// DDIM and DDPM, which its pipelines and DiffusionModel undo for latents.
    std::optional<double> clip;
    bool clip_is_default = false;   // the file does not say: only ddim and ddpm clip
    std::optional<FlowShift> flow;  // a flow model: no betas
    SolverConfig solver;
};

/// Reads scheduler_config.json of diffusers' schedulers over betas and of its flow-matching ones.
/// Error for an unknown value (named with the known ones) or a number out of range.
ScheduleConfig read_schedule_config(const Config& config);

/// Names as on the command line and in scheduler_config.json; an unknown name is a UsageError that
/// lists the known ones.
Spacing spacing_named(const std::string& name);
const char* name_of(Spacing spacing);
/// All names, in the order of the help text.
std::vector<std::string> spacing_names();

}  // namespace weft
