// Multistep samplers on x: a polynomial through the last estimates, integrated exactly.
#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

#include "diffusion/sampler_walk.h"

namespace weft {

namespace {

constexpr size_t few_steps = 15;  // below it diffusers lowers the order of the last steps

// An estimate and where it was made, the newest in front.
struct Estimate {
    torch::Tensor value;
    double at;  // log-SNR (DPM-Solver++) or log(sigma / alpha) (DEIS)
};

using History = std::deque<Estimate>;

struct Variant {
    int64_t order;
    bool heun;               // second order by the exact integral instead of the midpoint rule
    bool lower_order_final;  // lower order at the last two steps of a short run
    bool euler_at_final;
};

// The order of a step: what the history and the end of the run allow.
int64_t order_at(const Walk& walk, size_t i, const Variant& variant) {
    const bool few = variant.lower_order_final && walk.size() < few_steps;
    const size_t left = walk.size() - 1 - i;
    const bool to_x0 = walk.steps()[i].to.sigma <= 0;
    if (to_x0 || (left == 0 && (few || variant.euler_at_final)))
        return 1;
    const int64_t most = left == 1 && few ? 2 : 3;
    return std::min({variant.order, static_cast<int64_t>(i) + 1, most});
}

// Lu et al., arXiv 2211.01095, algorithm 2, in the form of its appendix for orders 2 and 3; with
// fresh noise the SDE's (their section 5): the step then counts (1 + eta) times.
torch::Tensor dpm_step(const Walk& walk, size_t i, const torch::Tensor& x, const History& history,
                       const Variant& variant) {
    const auto& [from, to] = walk.steps()[i];
    const double h = log_snr(to) - log_snr(from);
    const double fresh = walk.eta() > 0 ? walk.eta() * h : 0;
    const double whole = h + fresh;
    const double decay = std::expm1(-whole);
    torch::Tensor next =
        x * (to.sigma / from.sigma * std::exp(-fresh)) - history[0].value * (to.alpha * decay);
    const int64_t order = order_at(walk, i, variant);
    if (order == 1)
        return next;

    // Divided differences of the estimates, in steps of h.
    const double r0 = (history[0].at - history[1].at) / h;
    torch::Tensor slope = (history[0].value - history[1].value) / r0;
    const double slope_weight = decay / whole + 1;
    if (order == 2)
        return next + slope * (to.alpha * (variant.heun ? slope_weight : -decay / 2));
    const double r1 = (history[1].at - history[2].at) / h;
    const torch::Tensor last_slope = (history[1].value - history[2].value) / r1;
    const torch::Tensor bend = (slope - last_slope) / (r0 + r1);
    slope = slope + bend * r0;
    const double bend_weight = slope_weight / whole - 0.5;
    return next + slope * (to.alpha * slope_weight) - bend * (to.alpha * bend_weight);
}

torch::Tensor run_dpm_solver(const Walk& walk, torch::Tensor x, const Variant& variant) {
    History history;
    for (size_t i = 0; i < walk.size(); ++i) {
        const auto& [from, to] = walk.steps()[i];
        history.push_front({walk.x0(x, from), log_snr(from)});
        if (history.size() > 3)
            history.pop_back();
        x = dpm_step(walk, i, x, history, variant);
        if (walk.eta() > 0 && to.sigma > 0) {
            const double fresh = walk.eta() * (log_snr(to) - log_snr(from));
            x = x + walk.noise(i) * (to.sigma * std::sqrt(-std::expm1(-2 * fresh)));
        }
        walk.tell_step(i, x);
    }
    return x;
}

// Integrals of 1, u and u^2 times e^u over [0, end].
struct Moments {
    double zeroth;
    double first;
    double second;
};

Moments moments(double end) {
    const double e = std::exp(end);
    return {std::expm1(end), e * (end - 1) + 1, e * (end * end - 2 * end + 2) - 2};
}

// The weight of each estimate: the integral over sigma / alpha of the polynomial in its logarithm
// that is 1 there and 0 at the others (Zhang and Chen, arXiv 2204.13902, eq. 15, log-rho).
std::vector<double> deis_weights(const History& history, int64_t order, double end) {
    const double base = std::exp(history[0].at);
    const Moments m = moments(end - history[0].at);
    if (order == 1)
        return {base * m.zeroth};
    const double a = history[1].at - history[0].at;
    if (order == 2)
        return {base * (m.zeroth - m.first / a), base * m.first / a};
    const double b = history[2].at - history[0].at;
    return {base * (m.second - (a + b) * m.first + a * b * m.zeroth) / (a * b),
            base * (m.second - b * m.first) / (a * (a - b)),
            base * (m.second - a * m.first) / (b * (b - a))};
}

}  // namespace

torch::Tensor run_dpmpp_2m(const Walk& walk, torch::Tensor x) {
    const SolverConfig& solver = walk.solver();
    return run_dpm_solver(walk, std::move(x),
                          {.order = solver.order,
                           .heun = solver.dpm == SolverConfig::Dpm::heun,
                           .lower_order_final = solver.lower_order_final,
                           .euler_at_final = solver.euler_at_final});
}

// As k-diffusion has it: third order once there are three estimates, whatever is left.
torch::Tensor run_dpmpp_3m_sde(const Walk& walk, torch::Tensor x) {
    return run_dpm_solver(
        walk, std::move(x),
        {.order = 3, .heun = true, .lower_order_final = false, .euler_at_final = false});
}

torch::Tensor run_deis(const Walk& walk, torch::Tensor x) {
    const Variant variant{.order = walk.solver().order,
                          .heun = false,
                          .lower_order_final = walk.solver().lower_order_final,
                          .euler_at_final = false};
    History history;
    for (size_t i = 0; i < walk.size(); ++i) {
        const auto& [from, to] = walk.steps()[i];
        const torch::Tensor x0 = walk.x0(x, from);
        history.push_front({(x - x0 * from.alpha) / from.sigma, std::log(from.ratio())});
        if (history.size() > 3)
            history.pop_back();
        if (to.sigma <= 0) {
            x = x0 * to.alpha;
        } else {
            const int64_t order = order_at(walk, i, variant);
            const std::vector<double> weights = deis_weights(history, order, std::log(to.ratio()));
            torch::Tensor y = x / from.alpha;
            for (size_t k = 0; k < weights.size(); ++k) y = y + history[k].value * weights[k];
            x = y * to.alpha;
        }
        walk.tell_step(i, x);
    }
    return x;
}

}  // namespace weft
