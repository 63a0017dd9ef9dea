#include "temporal/steady_flow.h"

#include <ATen/ATen.h>

namespace weft {

torch::Tensor steadied(const torch::Tensor& offset, const torch::Tensor& target,
                       const torch::Tensor& source) {
    // What motion must bring: mean absolute difference over the channels of 9x9 pixels.
    constexpr double gain = 0.5 / 255;
    const auto misfit = [&](const torch::Tensor& seen) {
        return at::avg_pool2d((target - seen).abs().mean(1, true), {9, 9}, {1, 1}, {4, 4},
                              /*ceil_mode=*/false, /*count_include_pad=*/false);
    };
    return offset * (misfit(source) > misfit(warp(source, offset)) + gain);
}

FlowEvidence steadied(const FlowEvidence& evidence) {
    auto result = evidence;
    result.backward = steadied(evidence.backward, evidence.target, evidence.source);
    result.forward = steadied(evidence.forward, evidence.source, evidence.target);
    return result;
}

}  // namespace weft
