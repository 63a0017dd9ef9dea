// Samplers on x itself: from an estimate of x0 and of the noise, mix the next level.
#include <algorithm>
#include <cmath>

#include "diffusion/prediction.h"
#include "diffusion/sampler_walk.h"

namespace weft {

namespace {

// The noise in x where x0 is known.
torch::Tensor noise_in(const torch::Tensor& x, const torch::Tensor& x0, const NoiseLevel& level) {
    return (x - x0 * level.alpha) / level.sigma;
}

// Variance of x at `from` given x at `to`: sigma^2 - (alpha / alpha')^2 sigma'^2.
double bridge_variance(const NoiseLevel& from, const NoiseLevel& to) {
    const double kept = to.alpha > 0 ? from.alpha / to.alpha : 1;
    return std::max(0.0, from.sigma * from.sigma - kept * kept * to.sigma * to.sigma);
}

}  // namespace

// Ho et al., arXiv 2006.11239, eq. 6 and 7: the posterior of the next level given x and x0.
torch::Tensor run_ddpm(const Walk& walk, torch::Tensor x) {
    const bool large = walk.solver().variance == SolverConfig::DdpmVariance::fixed_large;
    for (size_t i = 0; i < walk.size(); ++i) {
        const auto& [from, to] = walk.steps()[i];
        const torch::Tensor x0 = walk.clipped_x0(x, from);
        const double total = from.sigma * from.sigma;
        const double rest = to.sigma * to.sigma;
        const double bridge = bridge_variance(from, to);
        x = x0 * (to.alpha * bridge / total) + x * (from.alpha / to.alpha * rest / total);
        const double variance = large ? bridge : bridge * rest / total;
        if (from.t > 0 && variance > 0)
            x = x + walk.noise(i) * std::sqrt(variance);
        walk.tell_step(i, x);
    }
    return x;
}

// Song et al., arXiv 2010.02502, eq. 12 and 16.
torch::Tensor run_ddim(const Walk& walk, torch::Tensor x) {
    for (size_t i = 0; i < walk.size(); ++i) {
        const auto& [from, to] = walk.steps()[i];
        torch::Tensor x0 = walk.x0(x, from);
        const torch::Tensor noise = noise_in(x, x0, from);
        if (walk.options().clip)
            x0 = x0.clamp(-*walk.options().clip, *walk.options().clip);

        // The share of the noise at `to` that is drawn anew.
        const double fresh =
            walk.eta() * to.sigma / from.sigma * std::sqrt(bridge_variance(from, to));
        const double same = std::sqrt(std::max(0.0, to.sigma * to.sigma - fresh * fresh));
        x = x0 * to.alpha + noise * same;
        if (walk.eta() > 0)
            x = x + walk.noise(i) * fresh;
        walk.tell_step(i, x);
    }
    return x;
}

// Luo et al., arXiv 2310.04378, algorithm 3: each step estimates the end, then noises it again.
torch::Tensor run_lcm(const Walk& walk, torch::Tensor x) {
    constexpr double sigma_data = 0.5;
    for (size_t i = 0; i < walk.size(); ++i) {
        const auto& [from, to] = walk.steps()[i];
        const torch::Tensor x0 = walk.clipped_x0(x, from);
        // The boundary condition of consistency models (Song et al., arXiv 2303.01469, eq. 5).
        const double scaled = from.t * walk.solver().timestep_scaling;
        const double size = std::hypot(scaled, sigma_data);
        const torch::Tensor end =
            x0 * (scaled / size) + x * (sigma_data * sigma_data / (size * size));
        x = end * to.alpha;
        if (to.sigma > 0)
            x = x + walk.noise(i) * to.sigma;
        walk.tell_step(i, x);
    }
    return x;
}

// Zheng et al., arXiv 2402.19159, algorithm 4: a step to s, below the next level, and noise from
// there back up; eta is their gamma.
torch::Tensor run_tcd(const Walk& walk, torch::Tensor x) {
    for (size_t i = 0; i < walk.size(); ++i) {
        const auto& [from, to] = walk.steps()[i];
        const bool fresh = walk.eta() > 0 && i + 1 < walk.size();
        const NoiseLevel low = fresh ? walk.at_time(std::floor((1 - walk.eta()) * to.t)) : to;
        const torch::Tensor x0 = walk.x0(x, from);
        x = x0 * low.alpha + noise_in(x, x0, from) * low.sigma;
        if (fresh)
            x = x * (to.alpha / low.alpha) + walk.noise(i) * std::sqrt(bridge_variance(to, low));
        walk.tell_step(i, x);
    }
    return x;
}

// Euler's method along the straight path, dx/dsigma = noise - x0 (Lipman et al., arXiv 2210.02747).
torch::Tensor run_flow_euler(const Walk& walk, torch::Tensor x) {
    const bool stochastic = walk.solver().stochastic_sampling;
    for (size_t i = 0; i < walk.size(); ++i) {
        const auto& [from, to] = walk.steps()[i];
        const torch::Tensor x0 = walk.x0(x, from);
        if (stochastic)
            x = x0 * to.alpha + walk.noise(i) * to.sigma;
        else
            x = x + (x - x0) * ((to.sigma - from.sigma) / from.sigma);
        walk.tell_step(i, x);
    }
    return x;
}

// Heun's method along the straight path; the last step is Euler's.
torch::Tensor run_flow_heun(const Walk& walk, torch::Tensor x) {
    for (size_t i = 0; i < walk.size(); ++i) {
        const auto& [from, to] = walk.steps()[i];
        const double dt = to.sigma - from.sigma;
        const torch::Tensor slope = (x - walk.x0(x, from)) / from.sigma;
        torch::Tensor next = x + slope * dt;
        if (to.sigma > 0) {
            walk.tell_call(next, to);
            const torch::Tensor end_slope = (next - walk.x0(next, to)) / to.sigma;
            next = x + (slope + end_slope) * (dt / 2);
        }
        x = next;
        walk.tell_step(i, x);
    }
    return x;
}

std::vector<torch::Tensor> invert_ddim(const Denoise& denoise, const torch::Tensor& x0,
                                       std::span<const NoiseStep> steps, Prediction prediction) {
    std::vector<torch::Tensor> trajectory;
    torch::Tensor x = x0.to(torch::kFloat32);
    for (size_t i = steps.size(); i-- > 0;) {
        const auto& [from, to] = steps[i];
        // What the network says of x at the noisier timestep, read as if said at the present level.
        const torch::Tensor said = output_of(prediction, denoise(x, from), x, from);
        const torch::Tensor estimate = to_x0(prediction, said, x, to);
        x = estimate * from.alpha + to_noise(prediction, said, x, to) * from.sigma;
        trajectory.push_back(x);
    }
    return trajectory;
}

}  // namespace weft
