#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <utility>

#include "io/media/frame.h"
#include "temporal/noise.h"

namespace weft::tests {

/// A clip that is drawn frame by frame, 25 a second.
class DrawnClip : public FrameSource {
  public:
    using Draw = std::function<torch::Tensor(int64_t frame)>;  // [3, h, w]

    DrawnClip(int64_t frames, Draw draw, const std::filesystem::path& path = "drawn")
        : frames_(frames), draw_(std::move(draw)) {
        const auto first = draw_(0);
        info_.path = path;
        info_.height = first.size(1);
        info_.width = first.size(2);
        info_.frame_rate = Rational(25, 1);
    }

    std::optional<Frame> next() override {
        if (at_ == frames_) {
            return std::nullopt;
        }
        Frame frame;
        frame.pixels = draw_(at_);
        frame.index = first_index + at_;
        frame.time = Time(at_, 25);
        frame.duration = Time(1, 25);
        ++at_;
        return frame;
    }

    const StreamInfo& info() const override { return info_; }

    StreamInfo& change() { return info_; }

    int64_t first_index = 0;

  private:
    int64_t frames_;
    Draw draw_;
    int64_t at_ = 0;
    StreamInfo info_;
};

/// A landscape of soft blobs, [3, 120, 400], different for each seed.
inline torch::Tensor landscape(uint64_t seed) {
    const auto coarse = normal_noise({.seed = seed}, {1, 3, 10, 33});
    const auto fine = normal_noise({.seed = seed + 1000}, {1, 3, 40, 133});
    return (0.5 + 0.15 * at::upsample_bicubic2d(coarse, {120, 400}, false) +
            0.05 * at::upsample_bicubic2d(fine, {120, 400}, false))
        .clamp(0, 1)[0];
}

/// What a camera sees that pans over it by 2 pixels a frame, [3, 96, 128].
inline torch::Tensor pan(const torch::Tensor& land, int64_t frame) {
    return land.slice(1, 12, 108).slice(2, 2 * frame, 2 * frame + 128).clone();
}

}  // namespace weft::tests
