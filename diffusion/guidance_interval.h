#pragma once

#include <limits>
#include <string>

#include "diffusion/noise_levels.h"

namespace weft {

/// The noise levels, as sigma / alpha, at which guidance acts (Kynkaanniemi et al., arXiv
/// 2404.07724, eq. 5): outside, all scales count as 1, so that one branch runs. Guidance at strong
/// noise costs variety and colour, at weak noise it does nothing; there SDXL was best served by
/// (0.28, 5.42]. Ends belong to the interval; low > high is no level at all.
struct GuidanceInterval {
    double low = 0;
    double high = std::numeric_limits<double>::infinity();

    bool holds(const NoiseLevel& level) const {
        return level.ratio() >= low && level.ratio() <= high;
    }

    friend bool operator==(const GuidanceInterval&, const GuidanceInterval&) = default;
};

/// Reads "LO..HI"; either may be missing, as in "0.3..". UsageError for anything else.
GuidanceInterval parse_guidance_interval(const std::string& text);

}  // namespace weft
