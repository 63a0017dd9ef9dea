#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "temporal/flow.h"
#include "temporal/noise_warp.h"

namespace weft {

/// Where key frames go.
struct KeyFrameOptions {
    /// Frames from one key to the next; 0 places them by the motion.
    int64_t every = 0;
    /// By the motion: never fewer frames apart than this, nor more. 1 <= least <= most.
    int64_t least = 4;
    int64_t most = 12;
    /// By the motion: the share of a frame, in [0, 1], that flow composed from the last key must
    /// still cover.
    double coverage = 0.8;
    /// Which flow counts as covering: the composed ways there and back agree within these limits.
    FlowChecks checks = {.consistency_ratio = 0.02, .consistency_px2 = 1};
};

/// Places the key frames of one shot while its motion streams by. The first frame is a key and the
/// last one too, so that every frame lies between two. By the motion, a key is set on the last
/// frame that the one before it covers well enough; a short rest at the end is shared with the
/// interval before it. Depends on nothing but the motion. Holds one pair of flows, and decides
/// `least` frames after a key at the latest. Thread-safe: no.
class KeyFramePlanner {
  public:
    /// A shot begins with its first frame, number 0.
    explicit KeyFramePlanner(const KeyFrameOptions& options = {});

    /// Takes the motion from the last frame into the next one, on a grid of any size, the same all
    /// along. Not looked at, and may be empty, where keys are `every` so many frames.
    void put(const FlowPair& motion);

    /// All keys of the shot, rising. Call it after the last frame.
    std::vector<int64_t> finish();

  private:
    bool covered() const;

    KeyFrameOptions options_;
    std::vector<int64_t> keys_{0};
    int64_t last_ = 0;                  // number of the last frame
    std::optional<FlowPair> from_key_;  // motion from the last key to the last frame
};

/// The share of a frame that flow over many frames still covers, in [0, 1]: pixels that stay in
/// bounds and are led back to where they came from. The smaller one of both frames.
double covered_share(const FlowPair& motion, const FlowChecks& checks = {});

/// The keys of a shot of frames [first, end) in one call.
/// @param motion_into the motion into a frame from the one before it; called in order
std::vector<int64_t> key_frames(int64_t first, int64_t end,
                                const std::function<FlowPair(int64_t frame)>& motion_into,
                                const KeyFrameOptions& options = {});

}  // namespace weft
