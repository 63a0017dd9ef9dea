#include "diffusion/noise_levels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "io/files/error.h"

namespace weft {

namespace {

constexpr std::array<std::pair<Spacing, const char*>, 4> spacing_names{{
    {Spacing::leading, "leading"},
    {Spacing::linspace, "linspace"},
    {Spacing::trailing, "trailing"},
    {Spacing::karras, "karras"},
}};

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

// The level at a given sigma / alpha, rounded to f32 as diffusers keeps it.
NoiseLevel level_at_ratio(double ratio, double t) {
    const double s = static_cast<float>(ratio);
    const double alpha = 1 / std::sqrt(s * s + 1);
    return {.alpha = alpha, .sigma = s * alpha, .t = t};
}

// Linear interpolation in a table over 0, 1, 2, ...; held at its ends.
double interpolate(const std::vector<double>& table, double x) {
    const double last = static_cast<double>(table.size()) - 1;
    const double at = std::clamp(x, 0.0, last);
    const auto low = static_cast<size_t>(std::min(std::floor(at), std::max(last - 1, 0.0)));
    const size_t high = std::min(low + 1, table.size() - 1);
    return table[low] + (table[high] - table[low]) * (at - static_cast<double>(low));
}

// The fractional timestep at which sigma / alpha is `ratio`, interpolated in its logarithm.
double timestep_at_ratio(const std::vector<double>& ratios, double ratio) {
    if (ratios.size() < 2)
        return 0;
    const auto above = std::upper_bound(ratios.begin(), ratios.end(), ratio);
    const auto count = static_cast<int64_t>(above - ratios.begin());
    const int64_t low = std::clamp<int64_t>(count - 1, 0, static_cast<int64_t>(ratios.size()) - 2);
    const double low_log = std::log(ratios[static_cast<size_t>(low)]);
    const double high_log = std::log(ratios[static_cast<size_t>(low) + 1]);
    const double w = (low_log - std::log(std::max(ratio, 1e-10))) / (low_log - high_log);
    return static_cast<double>(low) + std::clamp(w, 0.0, 1.0);
}

// Timesteps from noise to picture; whole but for the euler grid's linspace.
std::vector<double> timesteps(const Schedule& schedule, Grid grid, Spacing spacing, int64_t steps) {
    const int64_t train = schedule.train_steps();
    // The dpm grid cuts one point more and leaves out the last.
    const int64_t points = grid == Grid::dpm ? steps + 1 : steps;
    const int64_t stride = train / points;  // of leading spacing
    std::vector<double> result;
    for (int64_t i = 0; i < steps; ++i) {
        const auto back = static_cast<double>(points - 1 - i);
        if (spacing == Spacing::leading) {
            result.push_back(back * static_cast<double>(stride) +
                             static_cast<double>(schedule.config().steps_offset));
        } else if (spacing == Spacing::trailing) {
            const double ratio = static_cast<double>(train) / static_cast<double>(steps);
            result.push_back(
                std::nearbyint(static_cast<double>(train) - static_cast<double>(i) * ratio) - 1);
        } else {
            const double gap =
                points > 1 ? static_cast<double>(train - 1) / static_cast<double>(points - 1) : 0;
            result.push_back(grid == Grid::euler ? static_cast<float>(back * gap)
                                                 : std::nearbyint(back * gap));
        }
    }
    return result;
}

void check_timesteps(const std::vector<double>& ts, const Schedule& schedule, int64_t steps) {
    bool fits = ts.front() <= static_cast<double>(schedule.train_steps() - 1);
    for (size_t i = 1; i < ts.size(); ++i) fits = fits && ts[i] < ts[i - 1];
    if (!fits)
        throw UsageError("--steps",
                         c10::str(steps, " steps do not fit the model's schedule of ",
                                  schedule.train_steps(), " timesteps"),
                         "take fewer steps");
}

// Ratios of `steps` points from `high` down to `low`, even in their 7th root (arXiv 2206.00364,
// eq. 5).
std::vector<double> karras_ratios(double high, double low, int64_t steps) {
    constexpr double rho = 7;
    const double from = std::pow(high, 1 / rho);
    const double to = std::pow(low, 1 / rho);
    std::vector<double> result;
    for (int64_t i = 0; i < steps; ++i) {
        const double u = steps > 1 ? static_cast<double>(i) / static_cast<double>(steps - 1) : 0;
        result.push_back(std::pow(from + u * (to - from), rho));
    }
    return result;
}

std::vector<NoiseLevel> karras_levels(const Schedule& schedule, Grid grid, int64_t steps,
                                      const std::vector<double>& ts) {
    const std::vector<double>& table = schedule.ratios();
    // The euler grid spans the spaced timesteps, the others the whole schedule.
    const double high = grid == Grid::euler ? interpolate(table, ts.front()) : table.back();
    const double low = grid == Grid::euler ? interpolate(table, ts.back()) : table.front();
    const bool cosine = schedule.config().betas == ScheduleConfig::Betas::squaredcos_cap_v2;
    std::vector<NoiseLevel> levels;
    for (const double ratio : karras_ratios(high, low, steps)) {
        double t = timestep_at_ratio(table, ratio);
        if (grid == Grid::dpm)
            t = cosine ? std::floor(t) : std::nearbyint(t);
        levels.push_back(level_at_ratio(ratio, t));
    }
    return levels;
}

// Where the last step arrives.
NoiseLevel final_level(const Schedule& schedule, Grid grid) {
    const bool at_start = grid == Grid::ddim ? !schedule.config().set_alpha_to_one
                                             : schedule.config().final_sigma_min;
    if (!at_start)
        return {};
    return grid == Grid::ddim ? schedule.level(0) : level_at_ratio(schedule.ratios().front(), 0);
}

std::vector<NoiseStep> chained(const std::vector<NoiseLevel>& levels, const NoiseLevel& last) {
    std::vector<NoiseStep> steps;
    for (size_t i = 0; i < levels.size(); ++i)
        steps.push_back({levels[i], i + 1 < levels.size() ? levels[i + 1] : last});
    return steps;
}

// DDIMScheduler arrives at t - train_steps / steps (whole division), whatever the next timestep is.
std::vector<NoiseStep> ddim_steps(const Schedule& schedule, const std::vector<double>& ts) {
    const int64_t stride = schedule.train_steps() / static_cast<int64_t>(ts.size());
    std::vector<NoiseStep> steps;
    for (const double t : ts) {
        const auto from = static_cast<int64_t>(t);
        const int64_t to = from - stride;
        steps.push_back({schedule.level(from),
                         to >= 0 ? schedule.level(to) : final_level(schedule, Grid::ddim)});
    }
    return steps;
}

Spacing default_spacing(Grid grid) {
    return grid == Grid::ddim ? Spacing::leading : Spacing::linspace;
}

std::vector<NoiseStep> all_steps(const Schedule& schedule, const LevelRequest& request) {
    const Spacing base = schedule.config().spacing.value_or(default_spacing(request.grid));
    const Spacing asked = request.spacing.value_or(base);
    const bool karras =
        asked == Spacing::karras || (schedule.config().karras && !request.spacing.has_value());
    const Spacing spacing = asked == Spacing::karras ? base : asked;
    const std::vector<double> ts = timesteps(schedule, request.grid, spacing, request.steps);
    check_timesteps(ts, schedule, request.steps);
    if (karras)
        return chained(karras_levels(schedule, request.grid, request.steps, ts),
                       final_level(schedule, request.grid));
    if (request.grid == Grid::ddim)
        return ddim_steps(schedule, ts);
    std::vector<NoiseLevel> levels;
    levels.reserve(ts.size());
    for (const double t : ts)
        levels.push_back(level_at_ratio(interpolate(schedule.ratios(), t), t));
    return chained(levels, final_level(schedule, request.grid));
}

}  // namespace

Spacing spacing_named(const std::string& name) {
    for (const auto& [spacing, known] : spacing_names)
        if (name == known)
            return spacing;
    throw UsageError(name, "no such spacing", "take leading, linspace, trailing or karras");
}

const char* name_of(Spacing spacing) {
    for (const auto& [known, name] : spacing_names)
        if (known == spacing)
            return name;
    return "";
}

Schedule::Schedule(ScheduleConfig config) : config_(std::move(config)) {
    TORCH_CHECK(config_.train_steps > 0, "a schedule of ", config_.train_steps, " timesteps");
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
    TORCH_CHECK(t >= 0 && t < config_.train_steps, "timestep ", t, " outside a schedule of ",
                config_.train_steps);
    const float bar = alphas_cumprod_.data_ptr<float>()[t];
    return {.alpha = std::sqrt(bar), .sigma = std::sqrt(1 - bar), .t = static_cast<double>(t)};
}

std::vector<NoiseStep> noise_levels(const Schedule& schedule, const LevelRequest& request) {
    if (request.steps < 1 || request.steps > schedule.train_steps())
        throw UsageError("--steps", c10::str(request.steps, " is out of range"),
                         c10::str("take 1 to ", schedule.train_steps()));
    if (!(request.strength >= 0 && request.strength <= 1))
        throw UsageError("--strength", c10::str(request.strength, " is out of range"),
                         "take 0 to 1");
    std::vector<NoiseStep> steps = all_steps(schedule, request);
    if (schedule.config().prediction == Prediction::epsilon && steps.front().from.alpha <= 0)
        throw Error("scheduler_config.json",
                    "a model that predicts noise cannot start from pure noise without signal",
                    "take another sampler, such as euler, or another spacing, such as leading");
    auto kept = static_cast<int64_t>(static_cast<double>(request.steps) * request.strength);
    if (request.strength > 0)
        kept = std::max<int64_t>(kept, 1);
    steps.erase(steps.begin(), steps.end() - kept);
    return steps;
}

torch::Tensor add_noise(const torch::Tensor& x0, const torch::Tensor& noise,
                        const NoiseLevel& level) {
    return x0 * level.alpha + noise * level.sigma;
}

double initial_scale(const Schedule& schedule, const LevelRequest& request,
                     const NoiseLevel& first) {
    if (request.grid != Grid::euler)
        return 1;
    Spacing spacing = schedule.config().spacing.value_or(default_spacing(request.grid));
    if (request.spacing.has_value() && *request.spacing != Spacing::karras)
        spacing = *request.spacing;
    return spacing == Spacing::leading ? 1 : first.sigma;
}

}  // namespace weft
