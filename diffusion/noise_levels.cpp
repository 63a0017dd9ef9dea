// Cutting steps out of a schedule over betas; flow_levels.cpp does it for flow models.
#include "diffusion/noise_levels.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "diffusion/flow_levels.h"
#include "diffusion/spacing.h"
#include "io/files/error.h"

namespace weft {

namespace {

bool has_fractions(Grid grid) {
    return grid == Grid::euler || grid == Grid::kdpm;
}

// Grids of multistep solvers cut one point more and leave out the last.
bool has_extra_point(Grid grid) {
    return grid == Grid::dpm || grid == Grid::unipc || grid == Grid::deis;
}

bool is_distilled(Grid grid) {
    return grid == Grid::lcm || grid == Grid::tcd;
}

bool spreads_ratios(Spacing spacing) {
    return spacing != Spacing::leading && spacing != Spacing::linspace &&
           spacing != Spacing::trailing;
}

// The two parts of a spacing: which timesteps, and what is spread between their ends, if anything.
struct Cut {
    Spacing timesteps;
    std::optional<Spacing> ratios;
};

Cut cut_of(const Schedule& schedule, const LevelRequest& request) {
    const bool leads =
        request.grid == Grid::ddim || request.grid == Grid::ddpm || request.grid == Grid::pndm;
    const Spacing base =
        schedule.config().spacing.value_or(leads ? Spacing::leading : Spacing::linspace);
    if (!request.spacing)
        return {base, schedule.config().ratio_spacing};
    if (spreads_ratios(*request.spacing))
        return {base, request.spacing};
    return {*request.spacing, std::nullopt};
}

// Timesteps from noise to picture; whole but for linspace on grids with fractions.
std::vector<double> timesteps(const Schedule& schedule, Grid grid, Spacing spacing, int64_t steps) {
    const int64_t train = schedule.train_steps();
    const int64_t points = has_extra_point(grid) ? steps + 1 : steps;
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
            result.push_back(has_fractions(grid) ? static_cast<float>(back * gap)
                                                 : std::nearbyint(back * gap));
        }
    }
    return result;
}

// Every k-th training timestep, k by the number of steps the model was distilled on, thinned out
// evenly (Luo et al., arXiv 2310.04378, section 4.3).
std::vector<double> distilled_timesteps(const Schedule& schedule, int64_t steps) {
    const int64_t original = schedule.config().solver.original_inference_steps;
    if (steps > original || original > schedule.train_steps())
        throw UsageError("--steps",
                         c10::str(steps, " steps do not fit a model distilled on ", original,
                                  " of ", schedule.train_steps(), " timesteps"),
                         "take fewer steps");
    const int64_t k = schedule.train_steps() / original;
    std::vector<double> result;
    for (int64_t i = 0; i < steps; ++i) {
        const double place = std::floor(static_cast<double>(i) * static_cast<double>(original) /
                                        static_cast<double>(steps));
        result.push_back(static_cast<double>(k) * (static_cast<double>(original) - place) - 1);
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

// What diffusers makes of the fractional timestep at a spread ratio.
double rounded_time(const Schedule& schedule, Grid grid, Spacing spacing, double t) {
    const bool karras = spacing == Spacing::karras;
    if (grid == Grid::kdpm || grid == Grid::unipc || grid == Grid::deis)
        return karras ? std::nearbyint(t) : (grid == Grid::kdpm ? t : std::floor(t));
    if (grid != Grid::dpm)
        return t;
    const bool cosine = schedule.config().betas == ScheduleConfig::Betas::squaredcos_cap_v2;
    return karras && !cosine ? std::nearbyint(t) : std::floor(t);
}

std::vector<double> spread_ratios(const Schedule& schedule, Grid grid, Spacing spacing,
                                  const std::vector<double>& ts) {
    const ScheduleConfig& config = schedule.config();
    const auto steps = static_cast<int64_t>(ts.size());
    if (spacing == Spacing::ays)
        return align_your_steps(config.ays, steps);
    // Grids with fractions span the spaced timesteps, the others the whole schedule.
    const double first =
        has_fractions(grid) ? ts.front() : static_cast<double>(schedule.train_steps() - 1);
    const double last = has_fractions(grid) ? ts.back() : 0;
    const double top = config.sigma_max.value_or(schedule.level_at_time(first).ratio());
    const double end = config.sigma_min.value_or(schedule.level_at_time(last).ratio());
    if (!(top >= end))
        throw Error("scheduler_config.json",
                    c10::str("sigma_max ", top, " is below sigma_min ", end));
    return spread(spacing, top, end, steps);
}

std::vector<NoiseLevel> spread_levels(const Schedule& schedule, Grid grid, Spacing spacing,
                                      const std::vector<double>& ts) {
    std::vector<NoiseLevel> levels;
    for (const double ratio : spread_ratios(schedule, grid, spacing, ts)) {
        NoiseLevel level = schedule.level_at_ratio(ratio);
        level.t = rounded_time(schedule, grid, spacing, level.t);
        levels.push_back(level);
    }
    return levels;
}

// Where the last step arrives.
NoiseLevel final_level(const Schedule& schedule, Grid grid, const NoiseLevel& last, bool spread) {
    const ScheduleConfig& config = schedule.config();
    switch (grid) {
        case Grid::ddim:
            return config.set_alpha_to_one.value_or(true) ? NoiseLevel{} : schedule.level(0);
        case Grid::pndm:
            return config.set_alpha_to_one.value_or(false) ? NoiseLevel{} : schedule.level(0);
        case Grid::tcd:
            return schedule.level(0);
        case Grid::ddpm:
        case Grid::lcm:
        case Grid::kdpm:
        case Grid::flow:
            return {};
        case Grid::euler:
        case Grid::dpm:
        case Grid::unipc:
        case Grid::deis:
            break;
    }
    if (grid != Grid::deis && !config.final_sigma_min)
        return {};
    if (spread && (grid == Grid::unipc || grid == Grid::deis))
        return last;
    NoiseLevel end = schedule.level_at_ratio(schedule.ratios().front());
    end.t = 0;
    return end;
}

std::vector<NoiseStep> chained(const std::vector<NoiseLevel>& levels, const NoiseLevel& last) {
    std::vector<NoiseStep> steps;
    for (size_t i = 0; i < levels.size(); ++i)
        steps.push_back({levels[i], i + 1 < levels.size() ? levels[i + 1] : last});
    return steps;
}

// DDIM and PNDM arrive at t - train_steps / steps (whole division), whatever the next timestep is.
std::vector<NoiseStep> strided_steps(const Schedule& schedule, Grid grid,
                                     const std::vector<double>& ts) {
    const int64_t stride = schedule.train_steps() / static_cast<int64_t>(ts.size());
    std::vector<NoiseStep> steps;
    for (const double t : ts) {
        const auto from = static_cast<int64_t>(t);
        const int64_t to = from - stride;
        steps.push_back({schedule.level(from),
                         to >= 0 ? schedule.level(to) : final_level(schedule, grid, {}, false)});
    }
    return steps;
}

// The level of a timestep as the grid's schedulers keep it.
NoiseLevel level_at_time(const Schedule& schedule, Grid grid, double t) {
    const bool exact = grid == Grid::ddpm || is_distilled(grid);
    return exact ? schedule.level(static_cast<int64_t>(t)) : schedule.level_at_time(t);
}

std::vector<NoiseStep> beta_steps(const Schedule& schedule, const LevelRequest& request) {
    const Grid grid = request.grid;
    if (grid == Grid::flow)
        throw UsageError("--sampler", "flow_euler and flow_heun run flow-matching models only",
                         "take another sampler, such as ddim or euler");
    if (is_distilled(grid) && request.spacing)
        throw UsageError("--spacing", "lcm and tcd walk the timesteps the model was distilled on",
                         "leave it out");
    const Cut cut = cut_of(schedule, request);
    const std::vector<double> ts = is_distilled(grid)
                                       ? distilled_timesteps(schedule, request.steps)
                                       : timesteps(schedule, grid, cut.timesteps, request.steps);
    check_timesteps(ts, schedule, request.steps);
    const bool spread = cut.ratios && !is_distilled(grid);
    if (!spread && (grid == Grid::ddim || grid == Grid::pndm))
        return strided_steps(schedule, grid, ts);
    std::vector<NoiseLevel> levels;
    if (spread)
        levels = spread_levels(schedule, grid, *cut.ratios, ts);
    else
        for (const double t : ts) levels.push_back(level_at_time(schedule, grid, t));
    return chained(levels, final_level(schedule, grid, levels.back(), spread));
}

}  // namespace

std::vector<NoiseStep> noise_levels(const Schedule& schedule, const LevelRequest& request) {
    if (request.steps < 1 || request.steps > schedule.train_steps())
        throw UsageError("--steps", c10::str(request.steps, " is out of range"),
                         c10::str("take 1 to ", schedule.train_steps()));
    if (!(request.strength >= 0 && request.strength <= 1))
        throw UsageError("--strength", c10::str(request.strength, " is out of range"),
                         "take 0 to 1");
    std::vector<NoiseStep> steps =
        schedule.is_flow() ? flow_steps(schedule, request) : beta_steps(schedule, request);
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
    if (!has_fractions(request.grid) || schedule.is_flow())
        return 1;
    return cut_of(schedule, request).timesteps == Spacing::leading ? 1 : first.sigma;
}

}  // namespace weft
