#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "diffusion/noise_levels.h"

namespace weft {

/// A part of a run in shares of its steps: of n steps, those with first * n <= i < last * n.
struct StepRange {
    double first = 0;
    double last = 1;
};

/// Tells in which step of a run a noise level lies. Thread-safe: yes (immutable).
class StepClock {
  public:
    /// `steps`, noise first; at least one.
    explicit StepClock(std::span<const NoiseStep> steps);

    /// The last step that starts at this level or above: levels inside a step, which samplers with
    /// several calls a step ask for, belong to it.
    size_t step_at(const NoiseLevel& level) const;
    bool within(const StepRange& range, const NoiseLevel& level) const;

    const NoiseStep& step(size_t i) const { return steps_[i]; }

  private:
    std::vector<NoiseStep> steps_;
};

}  // namespace weft
