// Pseudo linear multistep method: Liu et al., arXiv 2202.09778.
#include <algorithm>
#include <cmath>

#include "diffusion/prediction.h"
#include "diffusion/sampler_walk.h"

namespace weft {

namespace {

// What is extrapolated: the noise, or the velocity for networks that predict it, as in diffusers.
torch::Tensor said_at(const Walk& walk, const torch::Tensor& x, const NoiseLevel& level) {
    const bool velocity = walk.options().prediction == Prediction::v;
    return output_of(velocity ? Prediction::v : Prediction::epsilon, walk.x0(x, level), x, level);
}

// Eq. 11: along the noise from one level to another.
torch::Tensor transfer(const Walk& walk, const torch::Tensor& x, const NoiseStep& step,
                       const torch::Tensor& said) {
    const auto& [from, to] = step;
    const bool velocity = walk.options().prediction == Prediction::v;
    const torch::Tensor noise = velocity ? said * from.alpha + x * from.sigma : said;
    const double kept = to.alpha / from.alpha;
    return x * kept + noise * (to.sigma - kept * from.sigma);
}

// Four calls of the classical Runge-Kutta method (eq. 13) from one timestep to the next.
torch::Tensor runge_kutta(const Walk& walk, size_t i, const torch::Tensor& x,
                          std::vector<torch::Tensor>& history) {
    const NoiseLevel& from = walk.steps()[i].from;
    const NoiseLevel& next = walk.steps()[i + 1].from;
    const double half = std::floor((from.t - walk.steps()[i].to.t) / 2);
    const NoiseLevel middle = walk.at_time(next.t + half);
    const auto estimate = [&](const torch::Tensor& said, const NoiseLevel& to) {
        torch::Tensor at = transfer(walk, x, {from, to}, said);
        walk.tell_call(at, to);
        return at;
    };
    const torch::Tensor first = said_at(walk, x, from);
    const torch::Tensor second =
        said_at(walk, estimate(first, walk.at_time(from.t - half)), middle);
    const torch::Tensor third = said_at(walk, estimate(second, middle), middle);
    const torch::Tensor fourth =
        said_at(walk, estimate(third, walk.at_time(middle.t - half)), next);
    history.push_back(first);
    return transfer(walk, x, {from, next}, (first + second * 2 + third * 2 + fourth) / 6);
}

// The first step where Runge-Kutta is skipped: there and, by the mean of both ends, once more.
torch::Tensor improved_euler(const Walk& walk, const torch::Tensor& x,
                             std::vector<torch::Tensor>& history) {
    const NoiseStep& step = walk.steps()[0];
    const NoiseLevel& next = walk.steps()[1].from;
    const torch::Tensor said = said_at(walk, x, step.from);
    const torch::Tensor there = transfer(walk, x, step, said);
    walk.tell_call(there, step.to);
    history.push_back(said);
    // diffusers counts the timestep back from the next one.
    const NoiseLevel from = walk.at_time(next.t + step.from.t - step.to.t);
    return transfer(walk, x, {from, next}, (said + said_at(walk, there, next)) / 2);
}

// Adams and Bashforth's method over what the last calls said, the newest at the back (eq. 12).
torch::Tensor extrapolated(const std::vector<torch::Tensor>& said) {
    const auto back = [&](size_t n) { return said[said.size() - 1 - n]; };
    switch (said.size()) {
        case 1:
            return back(0);
        case 2:
            return (back(0) * 3 - back(1)) / 2;
        case 3:
            return (back(0) * 23 - back(1) * 16 + back(2) * 5) / 12;
        default:
            return (back(0) * 55 - back(1) * 59 + back(2) * 37 - back(3) * 9) / 24;
    }
}

}  // namespace

torch::Tensor run_pndm(const Walk& walk, torch::Tensor x) {
    constexpr size_t runge_kutta_steps = 3;
    const bool skip = walk.solver().skip_prk_steps || walk.size() <= runge_kutta_steps;
    std::vector<torch::Tensor> history;
    for (size_t i = 0; i < walk.size(); ++i) {
        if (skip && i == 0 && walk.size() > 1) {
            x = improved_euler(walk, x, history);
        } else if (!skip && i < runge_kutta_steps) {
            x = runge_kutta(walk, i, x, history);
        } else {
            history.push_back(said_at(walk, x, walk.steps()[i].from));
            if (history.size() > 4)
                history.erase(history.begin());
            x = transfer(walk, x, walk.steps()[i], extrapolated(history));
        }
        walk.tell_step(i, x);
    }
    return x;
}

}  // namespace weft
