#include "diffusion/sampler_walk.h"

#include <algorithm>
#include <cmath>

namespace weft {

namespace {

// How far `value` has come from `from` to `to`, [0, 1]; 0 where they do not part.
double way(double value, double from, double to) {
    const double share = (value - from) / (to - from);
    return std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0;
}

NoiseLevel on_path_of(const NoiseLevel& like, double ratio, double t) {
    const bool straight = std::abs(like.alpha + like.sigma - 1) < 1e-9;
    const double alpha = straight ? 1 / (1 + ratio) : 1 / std::hypot(1.0, ratio);
    return {.alpha = alpha, .sigma = ratio * alpha, .t = t};
}

}  // namespace

Walk::Walk(const Denoise& denoise, std::span<const NoiseStep> steps, const SamplerOptions& options,
           double eta)
    : denoise_(denoise), steps_(steps), options_(options), eta_(eta) {}

torch::Tensor Walk::x0(const torch::Tensor& x, const NoiseLevel& level) const {
    return denoise_(x, level);
}

torch::Tensor Walk::clipped_x0(const torch::Tensor& x, const NoiseLevel& level) const {
    const torch::Tensor estimate = x0(x, level);
    return options_.clip ? estimate.clamp(-*options_.clip, *options_.clip) : estimate;
}

torch::Tensor Walk::scaled_x0(const torch::Tensor& y, const NoiseLevel& level) const {
    return x0(y * level.alpha, level);
}

torch::Tensor Walk::noise(size_t draw) const {
    TORCH_CHECK(options_.noise, "a stochastic sampler needs noise");
    return options_.noise(static_cast<int64_t>(draw));
}

NoiseLevel Walk::at_ratio(double ratio) const {
    if (options_.schedule != nullptr)
        return options_.schedule->level_at_ratio(ratio);
    const auto found = std::find_if(steps_.begin(), steps_.end(), [&](const NoiseStep& step) {
        return step.from.ratio() >= ratio && ratio >= step.to.ratio();
    });
    const auto& [from, to] = found != steps_.end() ? *found : steps_.back();
    const double w = way(std::log(ratio), std::log(from.ratio()), std::log(to.ratio()));
    return on_path_of(from, ratio, from.t + w * (to.t - from.t));
}

NoiseLevel Walk::at_time(double t) const {
    if (options_.schedule != nullptr) {
        const int64_t last = options_.schedule->train_steps() - 1;
        return options_.schedule->level(std::clamp<int64_t>(std::llround(t), 0, last));
    }
    const auto found = std::find_if(steps_.begin(), steps_.end(), [&](const NoiseStep& step) {
        return step.from.t >= t && t >= step.to.t;
    });
    const auto& [from, to] = found != steps_.end() ? *found : steps_.front();
    const double w = way(t, from.t, to.t);
    if (to.sigma <= 0)
        return w < 1 ? from : to;
    return on_path_of(from, std::pow(from.ratio(), 1 - w) * std::pow(to.ratio(), w), t);
}

void Walk::tell_call(const torch::Tensor& x, const NoiseLevel& level) const {
    if (options_.on_call)
        options_.on_call(x, level);
}

void Walk::tell_scaled_call(const torch::Tensor& y, const NoiseLevel& level) const {
    if (options_.on_call)
        options_.on_call(y * level.alpha, level);
}

void Walk::tell_step(size_t step, const torch::Tensor& x) const {
    tell_call(x, steps_[step].to);
    if (options_.on_step)
        options_.on_step(static_cast<int64_t>(step), x);
}

void Walk::tell_scaled_step(size_t step, const torch::Tensor& y) const {
    tell_step(step, y * steps_[step].to.alpha);
}

double log_snr(const NoiseLevel& level) {
    return std::log(level.alpha) - std::log(level.sigma);
}

}  // namespace weft
