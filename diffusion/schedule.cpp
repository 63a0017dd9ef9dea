// The training noise schedule: betas to levels.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "diffusion/noise_levels.h"

namespace weft {

namespace {

constexpr double least_alpha_squared = 0x1p-24;  // diffusers' stand-in for 0 in sigma / alpha

// Nichol and Dhariwal, arXiv 2102.09672, eq. 17.
std::vector<double> cosine_betas(int64_t count) {
    auto alpha_bar = [](double u) {
        const double c = std::cos((u + 0.008) / 1.008 * std::numbers::pi / 2);
        return c * c;
    };
    std::vector<double> betas;
    for (int64_t i = 0; i < count; ++i) {
        const auto n = static_cast<double>(count);
        const double ratio =
            alpha_bar(static_cast<double>(i + 1) / n) / alpha_bar(static_cast<double>(i) / n);
        betas.push_back(std::min(1 - ratio, 0.999));
    }
    return betas;
}

// beta by timestep, [train_steps] f32.
torch::Tensor make_betas(const ScheduleConfig& config) {
    if (!config.trained_betas.empty())
        return torch::tensor(config.trained_betas, torch::kFloat32);
    switch (config.betas) {
        case ScheduleConfig::Betas::linear:
            return torch::linspace(config.beta_start, config.beta_end, config.train_steps,
                                   torch::kFloat32);
        case ScheduleConfig::Betas::scaled_linear:
            return torch::linspace(std::sqrt(config.beta_start), std::sqrt(config.beta_end),
                                   config.train_steps, torch::kFloat32)
                .square();
        case ScheduleConfig::Betas::squaredcos_cap_v2:
            return torch::tensor(cosine_betas(config.train_steps), torch::kFloat32);
    }
    TORCH_CHECK(false, "unknown curve of betas");
}

// Shifts and scales sqrt(alpha_bar) so that the last is 0 and the first stays (arXiv 2305.08891,
// algorithm 1); by way of betas, as diffusers does, for the same rounding.
torch::Tensor with_zero_terminal_snr(const torch::Tensor& betas) {
    torch::Tensor root = (1 - betas).cumprod(0).sqrt();
    const torch::Tensor first = root[0].clone();
    const torch::Tensor last = root[-1].clone();
    root = (root - last) * (first / (first - last));
    const torch::Tensor bar = root.square();
    const torch::Tensor alphas =
        torch::cat({bar.slice(0, 0, 1), bar.slice(0, 1) / bar.slice(0, 0, -1)});
    return 1 - alphas;
}

std::vector<double> to_doubles(const torch::Tensor& values) {
    const torch::Tensor wide = values.to(torch::kFloat64).contiguous();
    return {wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel()};
}

// The logarithm as diffusers keeps it: where it then cuts a fractional timestep down to a whole
// one, the last bit counts.
double rounded_log(double value) {
    return std::log(static_cast<float>(value));
}

// The fractional timestep at which sigma / alpha is `ratio`, interpolated in its logarithm.
double timestep_at_ratio(const std::vector<double>& ratios, double ratio) {
    if (ratios.size() < 2)
        return 0;
    const double at = std::log(std::max(ratio, 1e-10));
    const auto above = std::partition_point(ratios.begin(), ratios.end(),
                                            [&](double r) { return rounded_log(r) <= at; });
    const auto count = static_cast<int64_t>(above - ratios.begin());
    const int64_t low = std::clamp<int64_t>(count - 1, 0, static_cast<int64_t>(ratios.size()) - 2);
    const double low_log = rounded_log(ratios[static_cast<size_t>(low)]);
    const double high_log = rounded_log(ratios[static_cast<size_t>(low) + 1]);
    const double w = (low_log - at) / static_cast<float>(low_log - high_log);
    return static_cast<double>(low) + std::clamp(w, 0.0, 1.0);
}

// Linear interpolation in a table over 0, 1, 2, ...; held at its ends.
double interpolate(const std::vector<double>& table, double x) {
    const double last = static_cast<double>(table.size()) - 1;
    const double at = std::clamp(x, 0.0, last);
    const auto low = static_cast<size_t>(std::min(std::floor(at), std::max(last - 1, 0.0)));
    const size_t high = std::min(low + 1, table.size() - 1);
    return table[low] + (table[high] - table[low]) * (at - static_cast<double>(low));
}

NoiseLevel flow_level(double sigma, int64_t train_steps) {
    return {.alpha = 1 - sigma, .sigma = sigma, .t = sigma * static_cast<double>(train_steps)};
}

}  // namespace

Schedule::Schedule(ScheduleConfig config) : config_(std::move(config)) {
    TORCH_CHECK(config_.train_steps > 0, "a schedule of ", config_.train_steps, " timesteps");
    if (is_flow())
        return;
    torch::Tensor betas = make_betas(config_);
    if (config_.zero_terminal_snr)
        betas = with_zero_terminal_snr(betas);
    alphas_cumprod_ = (1 - betas).cumprod(0);
    torch::Tensor bar = alphas_cumprod_.clone();
    if (config_.zero_terminal_snr)
        bar[-1] = least_alpha_squared;
    ratios_ = to_doubles(((1 - bar) / bar).sqrt());
}

NoiseLevel Schedule::level(int64_t t) const {
    const int64_t last = is_flow() ? config_.train_steps : config_.train_steps - 1;
    TORCH_CHECK(t >= 0 && t <= last, "timestep ", t, " outside a schedule of ",
                config_.train_steps);
    if (is_flow())
        return flow_level(static_cast<double>(t) / static_cast<double>(config_.train_steps),
                          config_.train_steps);
    const float bar = alphas_cumprod_.data_ptr<float>()[t];
    return {.alpha = std::sqrt(bar), .sigma = std::sqrt(1 - bar), .t = static_cast<double>(t)};
}

NoiseLevel Schedule::level_at_time(double t) const {
    TORCH_CHECK(t >= 0 && t < static_cast<double>(config_.train_steps), "timestep ", t,
                " outside a schedule of ", config_.train_steps);
    if (is_flow())
        return flow_level(t / static_cast<double>(config_.train_steps), config_.train_steps);
    NoiseLevel level = level_at_ratio(interpolate(ratios_, t));
    level.t = t;
    return level;
}

NoiseLevel Schedule::level_at_ratio(double ratio) const {
    TORCH_CHECK(ratio >= 0, "sigma / alpha ", ratio, " is negative");
    if (is_flow()) {
        const bool pure = std::isinf(ratio);
        return flow_level(pure ? 1 : ratio / (1 + ratio), config_.train_steps);
    }
    const double s = static_cast<float>(ratio);
    const double alpha = 1 / std::sqrt(s * s + 1);
    return {.alpha = alpha, .sigma = s * alpha, .t = timestep_at_ratio(ratios_, ratio)};
}

}  // namespace weft
