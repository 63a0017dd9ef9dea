#include "temporal/flow.h"

#include <ATen/ATen.h>

#include "temporal/sampling.h"

namespace weft {
namespace {

void check_offset(const torch::Tensor& offset) {
    TORCH_CHECK(offset.dim() == 4 && offset.size(1) == 2 && offset.is_floating_point(),
                "a flow is [n, 2, h, w] floating, got ", offset.sizes());
}

torch::Tensor squared_length(const torch::Tensor& vectors) {
    return vectors.square().sum(1, true);  // [n, 1, h, w]
}

/// Differences to the next pixel along a side, 0 at its end.
torch::Tensor next_difference(const torch::Tensor& x, int64_t side) {
    const auto length = x.size(side);
    const auto last = x.narrow(side, length - 1, 1);
    return torch::cat({x.narrow(side, 1, length - 1), last}, side) - x;
}

torch::Tensor same_look(const torch::Tensor& target, const torch::Tensor& source,
                        const torch::Tensor& offset, double most) {
    return (target - warp(source, offset)).abs().mean(1, true) <= most;
}

FlowField checked(const FlowEvidence& seen, const FlowChecks& checks) {
    const auto valid = in_bounds(seen.backward) & consistent(seen.backward, seen.forward, checks) &
                       ~motion_boundary(seen.backward, checks) &
                       same_look(seen.target, seen.source, seen.backward, checks.photometric);
    return {seen.backward, valid};
}

}  // namespace

FlowField identity_flow(int64_t n, int64_t height, int64_t width,
                        const torch::TensorOptions& options) {
    return {torch::zeros({n, 2, height, width}, options),
            torch::ones({n, 1, height, width}, options.dtype(torch::kBool))};
}

torch::Tensor warp(const torch::Tensor& source, const torch::Tensor& offset) {
    return warp(source, offset, Sampling::bilinear);
}

torch::Tensor in_bounds(const torch::Tensor& offset) {
    check_offset(offset);
    const auto within = [&](int64_t coordinate, int64_t side) {
        const auto middle = 0.5 * static_cast<double>(offset.size(side) - 1);
        const auto from_middle = positions_along(offset, side) - middle;
        return (offset.narrow(1, coordinate, 1) + from_middle).abs_() <= middle;
    };
    return within(0, 3).logical_and_(within(1, 2));
}

FlowField compose(const FlowField& first, const FlowField& then) {
    const auto offset = first.offset + warp(then.offset, first.offset);
    // All four pixels that an offset is interpolated from must hold.
    const auto held = warp(then.valid.to(first.offset.scalar_type()), first.offset) > 0.999;
    return {offset, first.valid & held & in_bounds(first.offset) & in_bounds(offset)};
}

FlowField resized(const FlowField& flow, int64_t height, int64_t width) {
    check_offset(flow.offset);
    const auto old_height = flow.height();
    const auto old_width = flow.width();
    if (height == old_height && width == old_width) {
        return flow;
    }
    const auto scale =
        torch::tensor({static_cast<double>(width) / static_cast<double>(old_width),
                       static_cast<double>(height) / static_cast<double>(old_height)},
                      flow.offset.options())
            .view({1, 2, 1, 1});
    const auto invalid = (~flow.valid).to(flow.offset.scalar_type());
    const std::array<int64_t, 2> size{height, width};
    if (height <= old_height && width <= old_width) {
        return {at::adaptive_avg_pool2d(flow.offset, size) * scale,
                std::get<0>(at::adaptive_max_pool2d(invalid, size)) == 0};
    }
    return {at::upsample_bilinear2d(flow.offset, size, /*align_corners=*/false) * scale,
            at::upsample_bilinear2d(invalid, size, /*align_corners=*/false) == 0};
}

torch::Tensor consistent(const torch::Tensor& backward, const torch::Tensor& forward,
                         const FlowChecks& checks) {
    const auto back = warp(forward, backward);
    return squared_length(backward + back) <=
           checks.consistency_ratio * (squared_length(backward) + squared_length(back)) +
               checks.consistency_px2;
}

torch::Tensor motion_boundary(const torch::Tensor& offset, const FlowChecks& checks) {
    check_offset(offset);
    const auto change =
        squared_length(next_difference(offset, 2)) + squared_length(next_difference(offset, 3));
    return change > checks.boundary_ratio * squared_length(offset) + checks.boundary_px2;
}

FlowField checked_flow(const FlowEvidence& evidence, const FlowChecks& checks) {
    return checked(evidence, checks);
}

FlowField checked_forward_flow(const FlowEvidence& evidence, const FlowChecks& checks) {
    return checked({.target = evidence.source,
                    .source = evidence.target,
                    .backward = evidence.forward,
                    .forward = evidence.backward},
                   checks);
}

}  // namespace weft
