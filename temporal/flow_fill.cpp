#include "temporal/flow_fill.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "temporal/smoothing.h"

namespace weft {
namespace {

constexpr int64_t planes = 3;  // confidence times x, confidence times y, confidence

/// exp(-difference / falloff) between pixels and the next ones below, [h, w]; 0 in the last row.
torch::Tensor links_down(const torch::Tensor& picture) {
    constexpr double falloff = 0.03;  // a difference of 2 % halves what passes
    const auto rows = picture.size(2);
    const auto difference =
        (picture.narrow(2, 1, rows - 1) - picture.narrow(2, 0, rows - 1)).abs().mean(1);
    const auto passes = (-difference / falloff).exp();  // [1, h - 1, w]
    return torch::cat({passes, torch::zeros({1, 1, picture.size(3)})}, 1).squeeze(0).contiguous();
}

/// Solves (1 + s (w_above + w_below)) u - s w_above u_above - s w_below u_below = value along every
/// column, for each plane [planes, h, w] in place: the Thomas algorithm, all columns side by side.
void solve_columns(torch::Tensor& values, const torch::Tensor& links, float strength) {
    const auto height = values.size(1);
    const auto width = values.size(2);
    const auto plane = height * width;
    auto scale = torch::empty({height, width});  // 1 / pivot
    auto upper = torch::empty({height, width});
    const float* link = links.data_ptr<float>();
    auto* inverse = scale.data_ptr<float>();
    auto* ahead = upper.data_ptr<float>();
    const std::vector<float> none(width, 0.0F);
    for (int64_t y = 0; y < height; ++y) {
        const auto at = y * width;
        const float* above = y > 0 ? link + at - width : none.data();
        const float* carried = y > 0 ? ahead + at - width : none.data();
        for (int64_t x = 0; x < width; ++x) {
            const float before = strength * above[x];
            const float after = strength * link[at + x];
            inverse[at + x] = 1 / (1 + before + after - before * carried[x]);
            ahead[at + x] = after * inverse[at + x];
        }
    }
    for (int64_t k = 0; k < planes; ++k) {
        float* value = values.data_ptr<float>() + k * plane;
        for (int64_t x = 0; x < width; ++x) {
            value[x] *= inverse[x];
        }
        for (int64_t i = width; i < plane; ++i) {
            value[i] = (value[i] + strength * link[i - width] * value[i - width]) * inverse[i];
        }
        for (int64_t i = plane - width; i-- > 0;) {
            value[i] += ahead[i] * value[i + width];
        }
    }
}

/// Smooths planes [planes, h, w] within the picture's surfaces.
torch::Tensor smoothed(torch::Tensor values, const torch::Tensor& picture) {
    constexpr int rounds = 2;
    constexpr double strength = 400;  // reaches some 20 pixels where nothing is in the way
    const auto down = links_down(picture);
    const auto across = links_down(picture.transpose(2, 3));  // [w, h]
    for (int round = 1; round <= rounds; ++round) {
        const auto part = static_cast<float>(1.5 * strength * std::pow(4, rounds - round) /
                                             (std::pow(4, rounds) - 1));
        values = values.transpose(1, 2).contiguous();
        solve_columns(values, across, part);
        values = values.transpose(1, 2).contiguous();
        solve_columns(values, down, part);
    }
    return values;
}

}  // namespace

torch::Tensor spread_from_confident(const torch::Tensor& offset, const torch::Tensor& confidence,
                                    const torch::Tensor& picture) {
    TORCH_CHECK(offset.size(0) == 1 && offset.size(1) == 2 && confidence.size(1) == 1, "flow ",
                offset.sizes(), ", confidence ", confidence.sizes());
    const auto flow = offset.to(torch::kCPU, torch::kFloat32);
    // A trace of confidence everywhere keeps the quotient defined.
    const auto sure = confidence.to(torch::kCPU, torch::kFloat32).clamp(0, 1);
    const auto least = sure.clamp_min(1e-4);
    const auto sums = smoothed(torch::cat({flow * least, least}, 1)[0].contiguous(),
                               picture.to(torch::kCPU, torch::kFloat32));  // [3, h, w]
    const auto spread = (sums.narrow(0, 0, 2) / sums.narrow(0, 2, 1)).unsqueeze(0);
    return (spread + (flow - spread) * sure).to(offset.device());
}

torch::Tensor texturedness(const torch::Tensor& picture) {
    constexpr double faint = 4.0 / 255;
    const auto luma = luma_of(picture);
    const auto change = [&](int64_t side) {
        const auto length = luma.size(side);
        const auto next =
            torch::cat({luma.narrow(side, 1, length - 1), luma.narrow(side, length - 1, 1)}, side);
        return (next - luma).square();
    };
    const auto energy = box_mean(change(2) + change(3), 2);
    return energy / (energy + faint * faint);
}

}  // namespace weft
