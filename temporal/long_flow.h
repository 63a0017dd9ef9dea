#pragma once

#include <torch/types.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "temporal/flow.h"
#include "temporal/flow_estimator.h"
#include "temporal/noise_warp.h"

namespace weft {

/// Motion over two stretches of a clip in one: `early` lies between frames a and b, `late` between
/// b and c; the result between a and c. Valid where both are, along the whole way.
FlowPair joined(const FlowPair& early, const FlowPair& late);

/// Motion between the first frame of a stretch and each later one. Entry i of `steps` is the motion
/// between frames i and i + 1, entry i of the result that between frames 0 and i + 1.
std::vector<FlowPair> joined_from_first(std::span<const FlowPair> steps);

/// Motion between each frame of a stretch and its last one: entry i of the result is that between
/// frame i and the last, which is frame `steps.size()`.
std::vector<FlowPair> joined_to_last(std::span<const FlowPair> steps);

/// How the flow to a key frame is found.
struct LongFlowOptions {
    /// What finds the remaining motion, and what finds the way back, which only checks it; names of
    /// flow_estimators().
    std::string estimator = "dis-fine";
    std::string back_estimator = "dis";
    /// Pictures are shrunk by this, >= 1, for all but the last steps, which move the flow's breaks
    /// to the frame's edges and check it. Never below 128 pixels a side.
    int64_t shrink = 2;
    /// What a correction must bring to be taken: mean absolute difference in [0, 1] over the pixels
    /// around.
    double gain = 0.5 / 255;
    /// Limits of the final check. Motion boundaries are no reason to distrust here, since the
    /// flow's breaks are moved to the picture's edges.
    FlowChecks checks = {.consistency_px2 = 1.0, .photometric = 0.15};
};

/// Finds the flow from a frame to a key frame that is several frames away.
///
/// Neighbours' flows, composed, find far motion that no direct estimate finds, but their errors add
/// up. So the key is pulled along the composed flow and the motion that remains between the two
/// pictures is estimated; it corrects the composed flow wherever the key then looks more like the
/// frame. Breaks of the flow are moved to the frame's edges (Note [Edges of motion]), and the
/// result is valid where it stays in bounds, the way back agrees (Sundaram et al. 2010) and the
/// pictures look alike, again with borders at the frame's edges.
///
/// Deterministic. Thread-safe: yes (const).
class LongFlow {
  public:
    explicit LongFlow(const LongFlowOptions& options = {});

    /// The flow on `frame` that leads to `key`, at their size.
    /// @param frame, key [1, 3, h, w] in [0, 1]
    /// @param there, back composed motion on the frame to the key, and on the key to the frame; on
    /// a
    ///        grid of any size over the same picture
    FlowField operator()(const torch::Tensor& frame, const torch::Tensor& key,
                         const FlowField& there, const FlowField& back) const;

  private:
    LongFlowOptions options_;
    std::unique_ptr<FlowEstimator> estimator_;
    std::unique_ptr<FlowEstimator> back_estimator_;
};

}  // namespace weft
