#pragma once

#include <torch/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "temporal/flow.h"
#include "temporal/flow_estimator.h"
#include "temporal/noise_warp.h"

namespace weft {

/// How a clip is steadied.
struct DeflickerOptions {
    /// How much of the slow flicker of brightness and colour is taken away, in [0, 1].
    double strength = 1;
    /// How much of the flicker of detail is taken away, in [0, 1]: each pixel moves towards the
    /// mean of those it comes from and goes to. More than slow flicker it costs some sharpness.
    double detail = 0;
    /// Frames looked at before and after each one, >= 1; weights fall linearly to both sides.
    int64_t reach = 2;
    /// Side of the local means that count as slow, as a share of the picture's shorter side.
    double slow = 0.1;
    /// Differences of detail, mean absolute in [0, 1] over 3x3 pixels, beyond which a pixel is not
    /// the same thing any more.
    double same = 0.06;
    /// Finds the motion; a name of flow_estimators(). Pictures are first reduced to `longer_side`.
    std::string estimator = "dis";
    int64_t longer_side = 512;
};

/// Takes flicker out of any clip, frame by frame, with a bounded look ahead.
///
/// Every frame is compared with its neighbours pulled onto it along the flow. The local means of
/// what is valid, channel by channel, tell by what factor each neighbour is brighter; the frame is
/// multiplied by the weighted geometric mean of these factors (its own being 1). Where a guide is
/// given, the clip that this one was made from, motion is found in it, and what changes in the
/// guide itself is no flicker: its factors are divided out. Detail is then averaged along the flow
/// where it is valid and looks the same. Where both strengths are 0, frames come back at once, as
/// they are. Memory: 2 reach + 1 frames. Thread-safe: no.
class Deflicker {
  public:
    explicit Deflicker(const DeflickerOptions& options = {});

    /// Takes the next frame of a shot and gives back the frame `reach` before it, once there is
    /// one.
    /// @param picture [1, 3, h, w]
    /// @param guide [1, 3, h, w] in [0, 1], the source's frame; empty for none, then always
    std::optional<torch::Tensor> put(const torch::Tensor& picture, const torch::Tensor& guide = {});

    /// The frames still due. The next put() begins a new shot; call it at every cut.
    std::vector<torch::Tensor> finish();

  private:
    struct Entry {
        torch::Tensor picture;
        torch::Tensor guide;  // what motion is seen in
        bool guided;
        FlowPair into;  // motion from the entry before, on the reduced grid; empty at the first
    };

    bool idle() const { return options_.strength <= 0 && options_.detail <= 0; }

    FlowPair motion(const torch::Tensor& before, const torch::Tensor& now) const;
    FlowField way(size_t from, size_t to) const;
    torch::Tensor steadied_at(size_t index) const;

    DeflickerOptions options_;
    std::unique_ptr<FlowEstimator> estimator_;
    std::deque<Entry> window_;
    size_t due_ = 0;  // place in the window of the next frame to give back
};

}  // namespace weft
