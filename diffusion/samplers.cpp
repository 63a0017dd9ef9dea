#include "diffusion/samplers.h"

#include <array>
#include <cmath>
#include <utility>

#include "io/files/error.h"

namespace weft {

namespace {

using Steps = std::span<const NoiseStep>;

void report(const SamplerOptions& options, size_t step, const torch::Tensor& x) {
    if (options.on_step)
        options.on_step(static_cast<int64_t>(step), x);
}

// Song et al., arXiv 2010.02502, eq. 12 and 16.
torch::Tensor run_ddim(const Denoise& denoise, torch::Tensor x, Steps steps,
                       const SamplerOptions& options) {
    TORCH_CHECK(options.eta == 0 || options.noise, "ddim with eta > 0 needs noise");
    for (size_t i = 0; i < steps.size(); ++i) {
        const auto& [from, to] = steps[i];
        torch::Tensor x0 = denoise(x, from);
        const torch::Tensor noise = (x - x0 * from.alpha) / from.sigma;
        if (options.clip)
            x0 = x0.clamp(-*options.clip, *options.clip);

        // The share of the noise at `to` that is drawn anew.
        const double kept = to.alpha > 0 ? from.alpha / to.alpha : 1;
        const double fresh =
            options.eta * to.sigma / from.sigma * std::sqrt(std::max(0.0, 1 - kept * kept));
        const double same = std::sqrt(std::max(0.0, to.sigma * to.sigma - fresh * fresh));
        x = x0 * to.alpha + noise * same;
        if (options.eta > 0)
            x = x + options.noise(static_cast<int64_t>(i)) * fresh;
        report(options, i, x);
    }
    return x;
}

// Karras et al., arXiv 2206.00364, algorithm 1 without its second-order part, on y = x / alpha,
// where the probability flow is dy/ds = (y - x0) / s with s = sigma / alpha.
torch::Tensor run_euler(const Denoise& denoise, torch::Tensor x, Steps steps,
                        const SamplerOptions& options) {
    torch::Tensor y = x / steps.front().from.alpha;
    for (size_t i = 0; i < steps.size(); ++i) {
        const auto& [from, to] = steps[i];
        const double s = from.sigma / from.alpha;
        const torch::Tensor slope = (y - denoise(x, from)) / s;
        y = y + slope * (to.sigma / to.alpha - s);
        x = y * to.alpha;
        report(options, i, x);
    }
    return x;
}

// Half the logarithm of the signal-to-noise ratio; infinite at sigma 0.
double log_snr(const NoiseLevel& level) {
    return std::log(level.alpha) - std::log(level.sigma);
}

// Lu et al., arXiv 2211.01095, algorithm 2 (DPM-Solver++ 2M, midpoint form), first order at the
// first and last step.
torch::Tensor run_dpmpp_2m(const Denoise& denoise, torch::Tensor x, Steps steps,
                           const SamplerOptions& options) {
    constexpr size_t few_steps = 15;  // below it the last step is always first order
    torch::Tensor last_x0;
    double last_h = 0;
    for (size_t i = 0; i < steps.size(); ++i) {
        const auto& [from, to] = steps[i];
        const torch::Tensor x0 = denoise(x, from);
        const double h = log_snr(to) - log_snr(from);
        const double weight = -to.alpha * std::expm1(-h);
        const bool last = i + 1 == steps.size() && (to.sigma <= 0 || steps.size() < few_steps);
        x = x * (to.sigma / from.sigma) + x0 * weight;
        // Extrapolate x0 along the last two estimates to the middle of the step.
        if (last_x0.defined() && !last)
            x = x + (x0 - last_x0) * (0.5 * weight * h / last_h);
        last_x0 = x0;
        last_h = h;
        report(options, i, x);
    }
    return x;
}

constexpr std::array<Sampler, 3> table{{
    {"ddim", "deterministic, robust at any number of steps; eta adds noise", Grid::ddim, run_ddim},
    {"euler", "first order over sigma; the plain reference", Grid::euler, run_euler},
    {"dpmpp_2m", "second order, good pictures in 8 to 20 steps", Grid::dpm, run_dpmpp_2m},
}};

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

torch::Tensor sample(const Sampler& sampler, const Denoise& denoise, const torch::Tensor& x,
                     std::span<const NoiseStep> steps, const SamplerOptions& options) {
    if (steps.empty())
        return x;
    TORCH_CHECK(options.eta >= 0 && options.eta <= 1, "eta ", options.eta, " outside [0, 1]");
    return sampler.run(denoise, x.to(torch::kFloat32), steps, options);
}

}  // namespace weft
