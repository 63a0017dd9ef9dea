#include "temporal/shots.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace weft {
namespace {

constexpr int64_t sketch_height = 36;
constexpr int64_t sketch_width = 64;
// Zeros keep what leaves at one side from coming in at the other.
constexpr std::array<int64_t, 2> padded{2 * sketch_height, 2 * sketch_width};
// Below this mean square a sketch counts as blank: contrast of a hundredth of white. The last frame
// of a fade to black so resembles black.
constexpr double blank_energy = 1e-4;
// Unrelated pictures reach about 0.25 at their best shift, neighbours in hand-held clips stay above
// 0.6.
constexpr double least_likeness = 0.4;

/// Grey, small, and less the mean of the 9x9 pixels around: [h, w].
torch::Tensor details(const torch::Tensor& picture) {
    const auto rgb = picture.to(torch::kCPU, torch::kFloat32).clamp(0, 1);
    const auto luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
    const auto small = at::adaptive_avg_pool2d(luma.unsqueeze(0), {sketch_height, sketch_width});
    const auto shading = at::avg_pool2d(small, {9, 9}, {1, 1}, {4, 4}, /*ceil_mode=*/false,
                                        /*count_include_pad=*/false);
    return (small - shading).squeeze(0);
}

/// The largest value at shifts up to a quarter of the sketch; shifts to the left and up lie at the
/// far ends.
double best_in_reach(const torch::Tensor& correlation) {
    constexpr int64_t most_y = sketch_height / 4;
    constexpr int64_t most_x = sketch_width / 4;
    const auto rows = torch::cat({correlation.slice(0, 0, most_y), correlation.slice(0, -most_y)});
    const auto near = torch::cat({rows.slice(1, 0, most_x), rows.slice(1, -most_x)}, 1);
    return near.max().item<double>();
}

}  // namespace

CutDetector::Sketch CutDetector::sketch(const torch::Tensor& picture) {
    TORCH_CHECK(picture.dim() == 3 && picture.size(0) >= 3, "picture of shape ", picture.sizes());
    const auto grey = details(picture);
    return {.spectrum = at::fft_rfft2(grey, torch::IntArrayRef(padded)),
            .energy = grey.square().mean().item<double>(),
            .likeness = {}};
}

/// 2 <a, b> / (|a|^2 + |b|^2) at the best shift: 1 for equal pictures, less where contrast differs.
double CutDetector::likeness(const Sketch& a, const Sketch& b) {
    const auto correlation =
        at::fft_irfft2(a.spectrum * b.spectrum.conj(), torch::IntArrayRef(padded));
    const double shared = best_in_reach(correlation) / (sketch_height * sketch_width);
    return (2 * shared + blank_energy) / (a.energy + b.energy + blank_energy);
}

void CutDetector::put(const torch::Tensor& picture) {
    auto now = sketch(picture);
    const auto known = std::min<int64_t>(static_cast<int64_t>(recent_.size()), 2 * reach - 1);
    for (int64_t back = 1; back <= known; ++back) {
        now.likeness.push_back(likeness(recent_[recent_.size() - back], now));
    }
    recent_.push_back(std::move(now));
    if (static_cast<int64_t>(recent_.size()) > 2 * reach) {
        recent_.pop_front();
    }
    ++count_;
    const int64_t settled = count_ - reach;
    if (settled > 0 && is_cut(settled)) {
        cuts_.push_back(settled);
    }
}

bool CutDetector::is_cut(int64_t frame) const {
    const int64_t first = count_ - static_cast<int64_t>(recent_.size());
    const int64_t end = std::min(count_, frame + reach);
    for (int64_t after = frame; after < end; ++after) {
        for (int64_t before = std::max(first, frame - reach); before < frame; ++before) {
            const auto& known = recent_[after - first].likeness;
            if (known.at(after - before - 1) > least_likeness) {
                return false;
            }
        }
    }
    return true;
}

std::vector<int64_t> CutDetector::finish() {
    for (int64_t frame = std::max<int64_t>(1, count_ - reach + 1); frame < count_; ++frame) {
        if (is_cut(frame)) {
            cuts_.push_back(frame);
        }
    }
    auto result = std::move(cuts_);
    *this = {};
    return result;
}

}  // namespace weft
