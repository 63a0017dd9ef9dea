#include "diffusion/step_range.h"

#include <torch/types.h>

namespace weft {

StepClock::StepClock(std::span<const NoiseStep> steps) : steps_(steps.begin(), steps.end()) {
    TORCH_CHECK(!steps_.empty(), "a run of no steps has no clock");
}

size_t StepClock::step_at(const NoiseLevel& level) const {
    constexpr double rounding = 1e-6;  // of a timestep
    size_t found = 0;
    while (found + 1 < steps_.size() && steps_[found + 1].from.t >= level.t - rounding) ++found;
    return found;
}

bool StepClock::within(const StepRange& range, const NoiseLevel& level) const {
    constexpr double rounding = 1e-9;
    const auto n = static_cast<double>(steps_.size());
    const auto i = static_cast<double>(step_at(level));
    return i >= range.first * n - rounding && i < range.last * n - rounding;
}

}  // namespace weft
