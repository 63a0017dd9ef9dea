#include "diffusion/flow_levels.h"

#include <algorithm>
#include <cmath>

#include "diffusion/spacing.h"
#include "io/files/error.h"

namespace weft {

namespace {

// `count` values from `high` to `low`, evenly.
std::vector<double> evenly(double high, double low, int64_t count) {
    std::vector<double> values;
    for (int64_t i = 0; i < count; ++i) {
        const double u = count > 1 ? static_cast<double>(i) / static_cast<double>(count - 1) : 0;
        values.push_back(high + u * (low - high));
    }
    return values;
}

double shifted(double sigma, double shift) {
    return shift * sigma / (1 + (shift - 1) * sigma);
}

// The shift for a picture of so many tokens (arXiv 2403.03206, section 5.3.2; as in Flux).
double shift_of(const FlowShift& flow, const LevelRequest& request) {
    if (!flow.dynamic)
        return flow.shift;
    if (!request.image_tokens)
        throw UsageError("scheduler_config.json",
                         "use_dynamic_shifting needs the picture's size in tokens",
                         "set use_dynamic_shifting to false and shift to a number");
    const double slope = (flow.max_shift - flow.base_shift) /
                         static_cast<double>(flow.max_image_seq_len - flow.base_image_seq_len);
    const double mu = flow.base_shift +
                      slope * static_cast<double>(*request.image_tokens - flow.base_image_seq_len);
    return flow.exponential ? std::exp(mu) : mu;
}

// FlowMatchEulerDiscreteScheduler spaces evenly between its own shifted ends, then shifts.
std::vector<double> matching_sigmas(const Schedule& schedule, const LevelRequest& request) {
    const FlowShift& flow = *schedule.config().flow;
    const double least = 1 / static_cast<double>(schedule.train_steps());
    const double low = flow.dynamic ? least : shifted(least, flow.shift);
    std::vector<double> sigmas = evenly(1, low, request.steps);
    const double shift = shift_of(flow, request);
    for (double& sigma : sigmas) sigma = shifted(sigma, shift);
    return sigmas;
}

// use_flow_sigmas of the multistep solvers: one point more, the last left out. UniPC leaves out
// sigma 0, the others sigma 1.
std::vector<double> solver_sigmas(const Schedule& schedule, const LevelRequest& request) {
    const double least = 1 / static_cast<double>(schedule.train_steps());
    const bool unipc = request.grid == Grid::unipc;
    std::vector<double> sigmas =
        unipc ? evenly(1, least, request.steps + 1) : evenly(1 - least, 0, request.steps + 1);
    sigmas.pop_back();
    const double shift = shift_of(*schedule.config().flow, request);
    for (double& sigma : sigmas) sigma = shifted(sigma, shift);
    return sigmas;
}

// Stretches the levels so that the last is `terminal` and pure noise stays.
void stretch(std::vector<double>& sigmas, double terminal) {
    const double scale = (1 - sigmas.back()) / (1 - terminal);
    if (scale <= 0)
        return;  // one step, from pure noise
    for (double& sigma : sigmas) sigma = 1 - (1 - sigma) / scale;
}

std::optional<Spacing> spread_spacing(const Schedule& schedule, const LevelRequest& request) {
    if (!request.spacing)
        return schedule.config().ratio_spacing;
    const Spacing asked = *request.spacing;
    if (asked == Spacing::karras || asked == Spacing::exponential || asked == Spacing::beta)
        return asked;
    throw UsageError("--spacing",
                     c10::str("a flow model's steps have no ", name_of(asked), " spacing"),
                     "take karras, exponential or beta, or leave it out");
}

// The largest sigma a grid can work at: those that think in sigma / alpha cannot at pure noise.
double largest_sigma(Grid grid) {
    constexpr double near_noise = 1 - 1e-6;
    return grid == Grid::flow || grid == Grid::ddim || grid == Grid::ddpm ? 1 : near_noise;
}

NoiseLevel level_at_sigma(const Schedule& schedule, Grid grid, double sigma) {
    const double s = static_cast<float>(std::min(sigma, largest_sigma(grid)));
    const double t = s * static_cast<double>(schedule.train_steps());
    const bool whole = grid == Grid::dpm || grid == Grid::unipc || grid == Grid::deis;
    return {.alpha = 1 - s, .sigma = s, .t = whole ? std::floor(t) : t};
}

}  // namespace

std::vector<NoiseStep> flow_steps(const Schedule& schedule, const LevelRequest& request) {
    const Grid grid = request.grid;
    if (grid == Grid::pndm || grid == Grid::lcm || grid == Grid::tcd)
        throw UsageError("--sampler", "pndm, lcm and tcd do not run flow-matching models",
                         "take another sampler, such as flow_euler");
    const bool solver = grid == Grid::dpm || grid == Grid::unipc || grid == Grid::deis;
    std::vector<double> sigmas =
        solver ? solver_sigmas(schedule, request) : matching_sigmas(schedule, request);
    const ScheduleConfig& config = schedule.config();
    if (config.flow->terminal)
        stretch(sigmas, *config.flow->terminal);
    if (const auto spacing = spread_spacing(schedule, request))
        sigmas = spread(*spacing, config.sigma_max.value_or(sigmas.front()),
                        config.sigma_min.value_or(sigmas.back()), request.steps);
    std::vector<NoiseStep> steps;
    for (size_t i = 0; i < sigmas.size(); ++i) {
        const NoiseLevel to =
            i + 1 < sigmas.size() ? level_at_sigma(schedule, grid, sigmas[i + 1]) : NoiseLevel{};
        steps.push_back({level_at_sigma(schedule, grid, sigmas[i]), to});
    }
    return steps;
}

}  // namespace weft
