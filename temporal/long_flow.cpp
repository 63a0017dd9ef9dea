#include "temporal/long_flow.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "temporal/brightness.h"
#include "temporal/edge_flow.h"
#include "temporal/flow_fill.h"
#include "temporal/smoothing.h"

namespace weft {
namespace {

/// A picture that is explained by another one.
struct Sight {
    torch::Tensor target;  // [1, 3, h, w]
    torch::Tensor source;
    torch::Tensor light;  // [1, 1, h, w] slow change of brightness, from the source to the target
    torch::Tensor seen;   // [1, 1, h, w] luma of the target
    torch::Tensor from;   // and of the source
};

/// @param start what the change of brightness is measured along
Sight sight_of(const torch::Tensor& target, const torch::Tensor& source,
               const torch::Tensor& start) {
    // Wide means: over a few pixels, misplaced structure would pass for a change of light.
    const auto light =
        brightness_ratio(target, warp(source, start), in_bounds(start), {.reach = 0.5});
    return {target, source, light, luma_of(target), luma_of(source)};
}

/// How badly a flow explains the target, over 9x9 pixels of luma, [1, 1, h, w].
torch::Tensor misfit(const Sight& sight, const torch::Tensor& offset) {
    constexpr int64_t radius = 4;
    const auto difference = sight.seen - sight.light * warp(sight.from, offset);
    // What is left of slow changes of light is no evidence of motion.
    return box_mean((difference - box_mean(difference, 2 * radius)).abs(), radius);
}

/// A flow and how badly it explains the target.
struct Explained {
    torch::Tensor offset;  // [1, 2, h, w]
    torch::Tensor misfit;  // [1, 1, h, w]
};

/// The flow with the motion added that remains after it, where that explains the target better.
Explained corrected(const Sight& sight, const torch::Tensor& offset, const FlowEstimator& estimator,
                    double gain) {
    const auto rest = estimator(sight.target, warp(sight.source, offset) * sight.light);
    const auto better = rest + warp(offset, rest);
    const auto before = misfit(sight, offset);
    const auto after = misfit(sight, better);
    // Soft, so that no seam appears where the evidence is weak.
    const auto taken = smooth_step(before - after, 0.5 * gain, 1.5 * gain);
    return {offset + (better - offset) * taken, before + (after - before) * taken};
}

/// The flow with its doubtful parts, even ground and what disagrees with the way back, taken from
/// the sure ones around, unless that explains the target worse.
torch::Tensor surely(const Sight& sight, const Explained& way, const torch::Tensor& back,
                     double gain) {
    // Cut off before the exponential becomes denormal, which is slow to multiply by.
    const auto disagreement =
        (way.offset + warp(back, way.offset)).square().sum(1, true).clamp_max(50);  // px^2
    const auto spread = spread_from_confident(
        way.offset, texturedness(sight.target) * (-disagreement).exp(), sight.target);
    const auto lost = misfit(sight, spread) - way.misfit;
    return spread + (way.offset - spread) * smooth_step(lost, 0.5 * gain, 1.5 * gain);
}

/// True where two pictures differ by no more than `most` once slow changes of light are set aside.
torch::Tensor looks_alike(const torch::Tensor& target, const torch::Tensor& source,
                          const torch::Tensor& offset, double most) {
    const auto pulled = warp(source, offset);
    const auto lit = pulled * brightness_ratio(target, pulled, in_bounds(offset));
    return box_mean((target - lit).abs().mean(1, true), 1) <= most;
}

torch::Tensor on_grid(const torch::Tensor& offset, const torch::Tensor& picture) {
    const FlowField all{offset, torch::ones_like(offset.narrow(1, 0, 1), torch::kBool)};
    return resized(all, picture.size(2), picture.size(3)).offset;
}

/// The picture at the size that motion is looked for.
torch::Tensor shrunk(const torch::Tensor& picture, int64_t by) {
    constexpr int64_t least = 128;
    const auto most = std::max<int64_t>(1, std::min(picture.size(2), picture.size(3)) / least);
    const auto factor = std::min(by, most);
    return factor == 1
               ? picture
               : at::adaptive_avg_pool2d(picture, {(picture.size(2) + factor - 1) / factor,
                                                   (picture.size(3) + factor - 1) / factor});
}

}  // namespace

FlowPair joined(const FlowPair& early, const FlowPair& late) {
    return {.backward = compose(late.backward, early.backward),
            .forward = compose(early.forward, late.forward)};
}

std::vector<FlowPair> joined_from_first(std::span<const FlowPair> steps) {
    std::vector<FlowPair> result;
    for (const FlowPair& step : steps) {
        result.push_back(result.empty() ? step : joined(result.back(), step));
    }
    return result;
}

std::vector<FlowPair> joined_to_last(std::span<const FlowPair> steps) {
    std::vector<FlowPair> result(steps.begin(), steps.end());
    for (size_t i = result.size(); i-- > 1;) {
        result[i - 1] = joined(result[i - 1], result[i]);
    }
    return result;
}

LongFlow::LongFlow(const LongFlowOptions& options)
    : options_(options),
      estimator_(make_flow_estimator(options.estimator)),
      back_estimator_(make_flow_estimator(options.back_estimator)) {}

FlowField LongFlow::operator()(const torch::Tensor& frame, const torch::Tensor& key,
                               const FlowField& there, const FlowField& back) const {
    TORCH_CHECK(frame.sizes() == key.sizes() && frame.size(0) == 1, "frame ", frame.sizes(),
                ", key ", key.sizes());
    const torch::NoGradGuard inference;
    const auto small_frame = shrunk(frame, options_.shrink);
    const auto small_key = shrunk(key, options_.shrink);
    const auto start = on_grid(there.offset, small_frame);
    const auto start_back = on_grid(back.offset, small_frame);
    const auto sight = sight_of(small_frame, small_key, start);
    const auto sight_back = sight_of(small_key, small_frame, start_back);

    const auto raw = corrected(sight, start, *estimator_, options_.gain);
    const auto raw_back = corrected(sight_back, start_back, *back_estimator_, options_.gain);
    const auto way = surely(sight, raw, raw_back.offset, options_.gain);
    const auto return_way = on_grid(surely(sight_back, raw_back, raw.offset, options_.gain), frame);
    const auto offset = edge_aligned(on_grid(way, frame), frame, key);

    const auto bounds = in_bounds(offset);
    const auto valid = bounds & moves_with_others(offset) &
                       consistent(offset, return_way, options_.checks) &
                       looks_alike(frame, key, offset, options_.checks.photometric);
    return {offset, edge_aligned_mask(valid, frame) & bounds};
}

}  // namespace weft
