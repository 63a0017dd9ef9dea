#include "temporal/steady_flow.h"

#include <ATen/ATen.h>

#include "temporal/at_once.h"
#include "temporal/smoothing.h"

namespace weft {

torch::Tensor steadied(const torch::Tensor& offset, const torch::Tensor& target,
                       const torch::Tensor& source) {
    // What motion must bring: mean absolute difference over the channels of 9x9 pixels.
    constexpr double gain = 0.5 / 255;
    constexpr int64_t radius = 4;
    const auto misfit = [&](const torch::Tensor& seen) {
        const auto difference = target - seen;
        // Moving along shading explains a slow change of light too, but is no motion.
        return box_mean((difference - box_mean(difference, 2 * radius)).abs().mean(1, true),
                        radius);
    };
    return offset * (misfit(source) > misfit(warp(source, offset)) + gain);
}

FlowEvidence steadied(const FlowEvidence& evidence) {
    auto result = evidence;
    at_once(2, [&](int64_t way) {
        if (way == 0) {
            result.backward = steadied(evidence.backward, evidence.target, evidence.source);
        } else {
            result.forward = steadied(evidence.forward, evidence.source, evidence.target);
        }
    });
    return result;
}

}  // namespace weft
