#include "temporal/guided_upsample.h"

#include <ATen/ATen.h>

#include <array>

#include "temporal/smoothing.h"

namespace weft {
namespace {

using Sides = std::array<int64_t, 2>;

torch::Tensor enlarged(const torch::Tensor& pictures, Sides sides) {
    return at::upsample_bicubic2d(pictures, sides, /*align_corners=*/false);
}

torch::Tensor reduced(const torch::Tensor& pictures, Sides sides) {
    return at::_upsample_bilinear2d_aa(pictures, sides, /*align_corners=*/false);
}

/// The finest structure that a picture holds.
torch::Tensor finest(const torch::Tensor& pictures) {
    return pictures - box_mean(pictures, 1);
}

/// By how much the finest structure of each channel of the edit changes with that of the source's
/// luma, doubtful fits taken down, [n, 3, h, w].
torch::Tensor agreed_slope(const torch::Tensor& edited, const torch::Tensor& luma,
                           const GuidedUpsampleOptions& options) {
    const auto radius = options.reach;
    const auto edit = finest(edited);
    const auto guide = finest(luma);
    const auto noise = options.flat * options.flat;
    const auto variance = box_mean(guide * guide, radius) + noise;
    const auto own = box_mean(edit * edit, radius) + noise;
    const auto shared = box_mean(guide * edit, radius);
    const auto slope = (shared / variance).clamp(-options.most_slope, options.most_slope);
    const auto agreement = (shared * shared / (variance * own)).clamp(0, 1);
    // Means over the windows that hold a pixel, as in the guided filter.
    return box_mean(slope * agreement, radius);
}

/// The least and largest values of 3x3 pixels, with some room, enlarged.
std::pair<torch::Tensor, torch::Tensor> range(const torch::Tensor& edited, Sides sides,
                                              double room) {
    const auto most = [](const torch::Tensor& x) { return at::max_pool2d(x, {3, 3}, {1, 1}, 1); };
    const auto highest = most(edited);
    const auto lowest = -most(-edited);
    const auto margin = room * (highest - lowest);
    const auto large = [&](const torch::Tensor& x) {
        return at::upsample_bilinear2d(x, sides, /*align_corners=*/false);
    };
    return {large(lowest - margin), large(highest + margin)};
}

}  // namespace

torch::Tensor guided_upsampled(const torch::Tensor& edited, const torch::Tensor& source,
                               const GuidedUpsampleOptions& options) {
    TORCH_CHECK(edited.dim() == 4 && source.dim() == 4 && edited.size(1) == 3 &&
                    source.size(1) == 3 && edited.size(0) == source.size(0),
                "edit ", edited.sizes(), ", source ", source.sizes());
    const torch::NoGradGuard inference;
    const Sides sides{source.size(2), source.size(3)};
    const Sides small{edited.size(2), edited.size(3)};
    if (sides == small) {
        return edited;
    }
    if (sides[0] <= small[0] || sides[1] <= small[1]) {
        return at::_upsample_bicubic2d_aa(edited, sides, /*align_corners=*/false);
    }
    auto plain = enlarged(edited, sides);
    if (options.strength <= 0) {
        return plain;
    }
    const auto luma = luma_of(source);
    const auto small_luma = reduced(luma, small);
    const auto lost = luma - enlarged(small_luma, sides);
    const auto slope = at::upsample_bilinear2d(agreed_slope(edited, small_luma, options), sides,
                                               /*align_corners=*/false);
    const auto [lowest, highest] = range(edited, sides, options.room);
    const auto guided = torch::max(torch::min(plain + slope * lost, highest), lowest);
    return plain + options.strength * (guided - plain);
}

}  // namespace weft
