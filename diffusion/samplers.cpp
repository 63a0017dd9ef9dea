#include "diffusion/samplers.h"

#include <array>

#include "diffusion/sampler_walk.h"
#include "io/files/error.h"

namespace weft {

namespace {

int64_t one_a_step(int64_t steps, const SolverConfig& /*solver*/) {
    return steps;
}

// The last step arrives at sigma 0 and needs one call.
int64_t two_a_step(int64_t steps, const SolverConfig& /*solver*/) {
    return 2 * steps - 1;
}

int64_t pndm_calls(int64_t steps, const SolverConfig& solver) {
    if (steps == 1)
        return 1;
    return solver.skip_prk_steps || steps < 4 ? steps + 1 : steps + 9;
}

using G = Grid;
constexpr auto none = std::nullopt;

constexpr std::array<Sampler, 20> table{{
    {"ddpm", "the reverse diffusion itself, fresh noise at every step", G::ddpm, none, 0,
     one_a_step, run_ddpm},
    {"ddim", "deterministic, robust at any number of steps; eta adds noise", G::ddim, 0.0, 1,
     one_a_step, run_ddim},
    {"pndm", "fourth order in the noise, Stable Diffusion 1's own", G::pndm, none, 2, pndm_calls,
     run_pndm},
    {"euler", "first order over sigma; the plain reference", G::euler, none, 1, one_a_step,
     run_euler},
    {"euler_a", "euler with fresh noise", G::euler, 1.0, 1, one_a_step, run_euler_a},
    {"heun", "second order, two calls a step; not for flow models", G::euler, none, 2, two_a_step,
     run_heun},
    {"lms", "linear multistep of fourth order", G::euler, none, 2, one_a_step, run_lms},
    {"dpm2", "DPM-Solver-2, two calls a step", G::kdpm, none, 2, two_a_step, run_dpm2},
    {"dpm2_a", "dpm2 with fresh noise", G::kdpm, 1.0, 2, two_a_step, run_dpm2_a},
    {"dpmpp_2m", "second order, good pictures in 8 to 20 steps", G::dpm, none, 2, one_a_step,
     run_dpmpp_2m},
    {"dpmpp_2s_a", "DPM-Solver++ 2S with fresh noise, two calls a step", G::euler, 1.0, 2,
     two_a_step, run_dpmpp_2s_a},
    {"dpmpp_sde", "DPM-Solver++ for the SDE, two calls a step", G::euler, 1.0, 2, two_a_step,
     run_dpmpp_sde},
    {"dpmpp_2m_sde", "dpmpp_2m for the SDE: fresh noise", G::dpm, 1.0, 2, one_a_step, run_dpmpp_2m},
    {"dpmpp_3m_sde", "third order for the SDE, for many steps", G::dpm, 1.0, 2, one_a_step,
     run_dpmpp_3m_sde},
    {"unipc", "predictor and corrector, good in 5 to 10 steps", G::unipc, none, 2, one_a_step,
     run_unipc},
    {"deis", "exponential integrator over log sigma", G::deis, none, 2, one_a_step, run_deis},
    {"lcm", "latent consistency models, 1 to 8 steps", G::lcm, none, 0, one_a_step, run_lcm},
    {"tcd", "trajectory consistency models, 1 to 8 steps", G::tcd, 0.3, 1, one_a_step, run_tcd},
    {"flow_euler", "flow-matching models, first order", G::flow, none, 1, one_a_step,
     run_flow_euler},
    {"flow_heun", "flow-matching models, second order, two calls a step", G::flow, none, 2,
     two_a_step, run_flow_heun},
}};

double eta_of(const Sampler& sampler, const SamplerOptions& options) {
    return sampler.eta ? options.eta.value_or(*sampler.eta) : 0;
}

}  // namespace

std::span<const Sampler> samplers() {
    return table;
}

const Sampler& sampler_named(const std::string& name) {
    std::string known;
    for (const Sampler& sampler : table) {
        if (name == sampler.name)
            return sampler;
        known += (known.empty() ? "" : ", ") + std::string(sampler.name);
    }
    throw UsageError(name, "no such sampler", "weft has " + known);
}

bool needs_noise(const Sampler& sampler, const SamplerOptions& options) {
    const bool always = sampler.grid == Grid::ddpm || sampler.grid == Grid::lcm;
    const bool anew = sampler.run == run_flow_euler && options.solver.stochastic_sampling;
    return always || anew || eta_of(sampler, options) > 0;
}

SamplerOptions sampler_options(const Sampler& sampler, const Schedule& schedule) {
    const ScheduleConfig& config = schedule.config();
    SamplerOptions options;
    const bool clips_by_default = sampler.grid == Grid::ddim || sampler.grid == Grid::ddpm;
    if (clips_by_default || !config.clip_is_default)
        options.clip = config.clip;
    options.solver = config.solver;
    options.prediction = config.prediction;
    options.schedule = &schedule;
    return options;
}

torch::Tensor sample(const Sampler& sampler, const Denoise& denoise, const torch::Tensor& x,
                     std::span<const NoiseStep> steps, const SamplerOptions& options) {
    if (steps.empty())
        return x;
    const double eta = eta_of(sampler, options);
    TORCH_CHECK(eta >= 0 && eta <= 1, "eta ", eta, " outside [0, 1]");
    if (sampler.run == run_heun && options.schedule != nullptr && options.schedule->is_flow())
        throw UsageError("heun",
                         "its average of slopes is far off in the first step of flow models",
                         "take flow_heun");
    TORCH_CHECK(options.noise || !needs_noise(sampler, options), sampler.name, " needs noise");
    return sampler.run(Walk(denoise, steps, options, eta), x.to(torch::kFloat32));
}

}  // namespace weft
