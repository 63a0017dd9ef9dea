// Samplers on y = x / alpha over s = sigma / alpha, where the probability flow is
// dy/ds = (y - x0) / s (Karras et al., arXiv 2206.00364, eq. 4); as in k-diffusion.
#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <utility>

#include "diffusion/sampler_walk.h"

namespace weft {

namespace {

// A step from s to a level is one along the flow to `down`, then noise of deviation `up`, which
// together keep the level's variance (Song et al., arXiv 2011.13456; k-diffusion's ancestral step).
struct Ancestral {
    double down;
    double up;
};

Ancestral ancestral(double from, double to, double eta) {
    const double fresh = to * std::sqrt(std::max(0.0, 1 - to * to / (from * from)));
    const double up = std::min(to, eta * fresh);
    return {std::sqrt(std::max(0.0, to * to - up * up)), up};
}

// Along the flow from s to `to` with x0 held.
torch::Tensor moved(const torch::Tensor& y, const torch::Tensor& x0, double s, double to) {
    return y + (y - x0) * ((to - s) / s);
}

torch::Tensor with_noise(const Walk& walk, const torch::Tensor& y, double up, size_t draw) {
    return up > 0 ? y + walk.noise(draw) * up : y;
}

torch::Tensor start_of(const Walk& walk, torch::Tensor x) {
    x = x / walk.steps().front().from.alpha;
    return x;
}

torch::Tensor end_of(const Walk& walk, const torch::Tensor& y) {
    return y * walk.steps().back().to.alpha;
}

// One call a step.
torch::Tensor run_first_order(const Walk& walk, torch::Tensor x) {
    torch::Tensor y = start_of(walk, std::move(x));
    for (size_t i = 0; i < walk.size(); ++i) {
        const auto& [from, to] = walk.steps()[i];
        const auto [down, up] = ancestral(from.ratio(), to.ratio(), walk.eta());
        y = moved(y, walk.scaled_x0(y, from), from.ratio(), down);
        y = with_noise(walk, y, up, i);
        walk.tell_scaled_step(i, y);
    }
    return end_of(walk, y);
}

// Two calls a step, the second in the middle of the step in log s; `turn` moves y on with what the
// second call said there. A step to sigma 0 has no middle and is Euler's.
template <typename Turn>
torch::Tensor run_midpoint(const Walk& walk, torch::Tensor x, const Turn& turn) {
    torch::Tensor y = start_of(walk, std::move(x));
    for (size_t i = 0; i < walk.size(); ++i) {
        const auto& [from, to] = walk.steps()[i];
        const double s = from.ratio();
        const auto [down, up] = ancestral(s, to.ratio(), walk.eta());
        const torch::Tensor x0 = walk.scaled_x0(y, from);
        if (down <= 0) {
            y = moved(y, x0, s, down);
        } else {
            const NoiseLevel middle = walk.at_ratio(std::sqrt(s * down));
            const torch::Tensor half = moved(y, x0, s, middle.ratio());
            walk.tell_scaled_call(half, middle);
            y = turn(y, half, NoiseStep{from, middle}, down);
        }
        y = with_noise(walk, y, up, i);
        walk.tell_scaled_step(i, y);
    }
    return end_of(walk, y);
}

// The slope in the middle takes the whole step: DPM-Solver-2 in Karras' scale (k-diffusion).
torch::Tensor run_dpm_solver_2(const Walk& walk, torch::Tensor x) {
    return run_midpoint(
        walk, std::move(x),
        [&](const torch::Tensor& y, const torch::Tensor& half, const NoiseStep& step, double down) {
            const double m = step.to.ratio();
            const torch::Tensor slope = (half - walk.scaled_x0(half, step.to)) / m;
            return y + slope * (down - step.from.ratio());
        });
}

// Integrals over [s_i, s_next] of the polynomial that is 1 at s_k and 0 at the other of the last
// `order` points, by Gauss and Legendre's rule of three points, exact to the 5th degree.
double lms_weight(const std::vector<double>& s, size_t order, size_t k, double next) {
    constexpr std::array<double, 3> points{-0.7745966692414834, 0, 0.7745966692414834};
    constexpr std::array<double, 3> weights{5.0 / 18, 8.0 / 18, 5.0 / 18};
    const size_t last = s.size() - 1;
    double sum = 0;
    for (size_t p = 0; p < points.size(); ++p) {
        const double at = (s[last] + next) / 2 + points.at(p) * (next - s[last]) / 2;
        double product = weights.at(p);
        for (size_t j = 0; j < order; ++j)
            if (j != k)
                product *= (at - s[last - j]) / (s[last - k] - s[last - j]);
        sum += product;
    }
    return sum * (next - s[last]);
}

}  // namespace

// Algorithm 1 without its second-order part.
torch::Tensor run_euler(const Walk& walk, torch::Tensor x) {
    return run_first_order(walk, std::move(x));
}

torch::Tensor run_euler_a(const Walk& walk, torch::Tensor x) {
    return run_first_order(walk, std::move(x));
}

// Algorithm 1 without churn.
torch::Tensor run_heun(const Walk& walk, torch::Tensor x) {
    torch::Tensor y = start_of(walk, std::move(x));
    for (size_t i = 0; i < walk.size(); ++i) {
        const auto& [from, to] = walk.steps()[i];
        const double ds = to.ratio() - from.ratio();
        const torch::Tensor x0 = walk.clipped_x0(y * from.alpha, from);
        const torch::Tensor slope = (y - x0) / from.ratio();
        torch::Tensor next = y + slope * ds;
        if (to.sigma > 0) {
            walk.tell_scaled_call(next, to);
            const torch::Tensor end_x0 = walk.clipped_x0(next * to.alpha, to);
            next = y + (slope + (next - end_x0) / to.ratio()) * (ds / 2);
        }
        y = next;
        walk.tell_scaled_step(i, y);
    }
    return end_of(walk, y);
}

// Adams and Bashforth's method of order 4 over uneven s.
torch::Tensor run_lms(const Walk& walk, torch::Tensor x) {
    constexpr size_t most = 4;
    torch::Tensor y = start_of(walk, std::move(x));
    std::deque<torch::Tensor> slopes;  // the newest in front
    std::vector<double> s;
    for (size_t i = 0; i < walk.size(); ++i) {
        const auto& [from, to] = walk.steps()[i];
        s.push_back(from.ratio());
        slopes.push_front((y - walk.scaled_x0(y, from)) / from.ratio());
        const size_t order = std::min(most, slopes.size());
        for (size_t k = 0; k < order; ++k) y = y + slopes[k] * lms_weight(s, order, k, to.ratio());
        if (slopes.size() > most)
            slopes.pop_back();
        walk.tell_scaled_step(i, y);
    }
    return end_of(walk, y);
}

torch::Tensor run_dpm2(const Walk& walk, torch::Tensor x) {
    return run_dpm_solver_2(walk, std::move(x));
}

torch::Tensor run_dpm2_a(const Walk& walk, torch::Tensor x) {
    return run_dpm_solver_2(walk, std::move(x));
}

// Lu et al., arXiv 2211.01095, algorithm 1 (DPM-Solver++ 2S) at r = 1/2, made ancestral.
torch::Tensor run_dpmpp_2s_a(const Walk& walk, torch::Tensor x) {
    return run_midpoint(
        walk, std::move(x),
        [&](const torch::Tensor& y, const torch::Tensor& half, const NoiseStep& step, double down) {
            const torch::Tensor x0 = walk.scaled_x0(half, step.to);
            return moved(y, x0, step.from.ratio(), down);
        });
}

// k-diffusion's DPM-Solver++ (SDE) at r = 1/2. The noise to the middle and that to the end are two
// increments of one Brownian motion over s, so that they are correlated as they must be.
torch::Tensor run_dpmpp_sde(const Walk& walk, torch::Tensor x) {
    torch::Tensor y = start_of(walk, std::move(x));
    for (size_t i = 0; i < walk.size(); ++i) {
        const auto& [from, to] = walk.steps()[i];
        const double s = from.ratio();
        const double end = to.ratio();
        const torch::Tensor x0 = walk.scaled_x0(y, from);
        if (to.sigma <= 0) {
            y = x0;
        } else {
            const NoiseLevel middle = walk.at_ratio(std::sqrt(s * end));
            const double m = middle.ratio();
            const Ancestral first = ancestral(s, m, walk.eta());
            const Ancestral whole = ancestral(s, end, walk.eta());
            torch::Tensor half = moved(y, x0, s, first.down);
            torch::Tensor early;  // unit noise from s to the middle
            if (first.up > 0) {
                early = walk.noise(2 * i);
                half = half + early * first.up;
            }
            walk.tell_scaled_call(half, middle);
            y = moved(y, walk.scaled_x0(half, middle), s, whole.down);
            if (whole.up > 0) {
                const torch::Tensor brownian =
                    early * std::sqrt((s - m) / (s - end)) +
                    walk.noise(2 * i + 1) * std::sqrt((m - end) / (s - end));
                y = y + brownian * whole.up;
            }
        }
        walk.tell_scaled_step(i, y);
    }
    return end_of(walk, y);
}

}  // namespace weft
