#pragma once

#include <cstdint>
#include <vector>

#include "diffusion/schedule_config.h"

namespace weft {

/// `steps` values from `high` down to `low`, both included (one step: `high`), spread as a spacing
/// says: karras, exponential or beta. Thread-safe: yes.
std::vector<double> spread(Spacing spacing, double high, double low, int64_t steps);

/// sigma / alpha of `steps` steps by an Align Your Steps table of 10 steps, interpolated in the
/// logarithm for other numbers, as its authors do.
std::vector<double> align_your_steps(AysTable table, int64_t steps);

/// The x at which the cumulative Beta(a, a) distribution is p in [0, 1]; a > 0.
double beta_quantile(double p, double a);

}  // namespace weft
