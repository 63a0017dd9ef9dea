#pragma once

#include <memory>

#include "temporal/flow_estimator.h"

namespace weft {

/// Dense inverse search (Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016)
/// in OpenCV's medium preset: patches of 8 at steps of 3, at half resolution and coarser, then
/// variational refinement. About 15 ms for 480x270 on one core. Runs on the CPU.
std::unique_ptr<FlowEstimator> make_dis_flow(const FlowEstimatorOptions& options);

/// The same down to the picture's own pixels, where it stops at half size otherwise: as exact on a
/// picture of half the size.
std::unique_ptr<FlowEstimator> make_fine_dis_flow(const FlowEstimatorOptions& options);

/// The same in OpenCV's fast preset: patches at steps of 4 and fewer descents. Four times as fast,
/// and off by half as much again. Runs on the CPU.
std::unique_ptr<FlowEstimator> make_fast_dis_flow(const FlowEstimatorOptions& options);

/// Polynomial expansion (Farneback, "Two-frame motion estimation based on polynomial expansion",
/// SCIA 2003): smoother and slower than DIS, loses small things. Runs on the CPU.
std::unique_ptr<FlowEstimator> make_farneback_flow(const FlowEstimatorOptions& options);

}  // namespace weft
