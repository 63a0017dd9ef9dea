#pragma once

#include <torch/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/media/frame.h"
#include "temporal/flow.h"
#include "video/clip_track.h"

namespace weft {

/// Figures of one frame of a clip. Pictures are compared on the measuring grid, as RGB in [0, 1].
struct FrameFigures {
    int64_t frame = 0;    // Frame::index of the source
    double time_s = 0;    // from the clip's first frame
    double luma = 0;      // mean of 0.299 R + 0.587 G + 0.114 B
    double strength = 0;  // mean |edited - source|
    /// Mean over the pixels that the source's mask (Frame::mask) leaves out wholly of the largest
    /// channel's |edited - source| (EditBoard's semantic score / 255); only with a mask.
    std::optional<double> outside = std::nullopt;

    // Against the frame before; 0 at the first one.
    double valid_share = 0;  // of pixels where the source's flow holds
    /// Mean of (V_t - warp(V_t-1))^2 along the source's backward flow, over valid pixels and
    /// channels (Lai et al. 2018, eq. 9).
    double warp_error = 0;
    double flicker = 0;          // mean |V_t - V_t-1|, not warped (VBench's temporal flickering)
    double end_point_error = 0;  // mean |flow(edited) - flow(source)| in px, over valid pixels
};

/// How a frame compares with one some frames before, along the composed flow of the source.
struct DriftFigures {
    int64_t from = 0;  // place of the earlier frame in ClipFigures::frames
    int64_t to = 0;
    double valid_share = 0;
    double warp_error = 0;
};

/// A clip's figures as one number each; means leave out pairs of frames across a cut.
struct ClipSummary {
    double valid_share = 0;
    double warp_error = 0;   // all pairs' valid pixels alike
    double worst_error = 0;  // the largest warp error of a pair
    int64_t worst_frame = 0;
    double flicker = 0;
    double luma_flicker = 0;  // mean |second difference| of the mean luma
    double drift_error = 0;   // as warp_error, over DriftFigures; 0 for clips too short
    double drift_valid_share = 0;
    double end_point_error = 0;
    double strength = 0;
    std::optional<double> outside = std::nullopt;
    std::optional<ClipScores> clip = std::nullopt;  // only with a CLIP model
    // Against the identity edit; nullopt where that is 0.
    std::optional<double> warp_ratio = std::nullopt;
    std::optional<double> drift_ratio = std::nullopt;
};

/// Whether an edited clip still is the same clip on the outside.
struct Integrity {
    int64_t frames = 0;
    bool same_frames = true;  // as many as the source has
    bool same_size = true;
    bool same_color = true;         // tags
    bool same_side_streams = true;  // kinds and order of the other streams
    double largest_shift_s = 0;     // of a frame's time, counted from the first frame
};

/// One measured clip.
struct ClipFigures {
    std::string name;
    std::vector<FrameFigures> frames;
    std::vector<DriftFigures> drift;
    ClipSummary summary;
    Integrity integrity;
};

/// Everything that was measured.
struct Measurement {
    int64_t height = 0;  // of the measuring grid
    int64_t width = 0;
    std::vector<int64_t> cuts;       // places in ClipFigures::frames where a shot begins, not 0
    std::vector<ClipFigures> clips;  // the identity edit first, then the edited clips
};

/// A frame and the one before, as they are measured; what a report draws.
struct MeasuredPair {
    size_t clip = 0;  // place in Measurement::clips
    FrameFigures figures;
    torch::Tensor source;  // [1, 3, h, w]
    torch::Tensor edited;  // [1, 3, h, w]
    FlowField flow;        // the source's, backward
    torch::Tensor error;   // [1, 1, h, w] root of the mean square over channels; defined
};

struct MeasureOptions {
    /// Of the measuring grid in pixels; never more than the source's.
    int64_t longer_side = 512;
    std::string estimator = "dis";
    FlowChecks checks = {};
    /// Frames from one drift comparison to the next, >= 2.
    int64_t drift_frames = 16;
    /// Not null: pictures and prompt are also compared by CLIP. Must outlive the measurement.
    const ClipScorer* clip = nullptr;
    std::string prompt = {};
    const std::atomic<bool>* stop = nullptr;
    /// Called for each frame of each clip. May be empty.
    std::function<void(const MeasuredPair&)> on_pair = {};
};

/// A clip to be measured.
struct NamedSource {
    std::string name;
    std::unique_ptr<FrameSource> frames;
};

/// Reads a source and its edits side by side, frame by frame, and measures them. Memory does not
/// depend on the clips' length but for the figures. A clip that ends early is measured as far as it
/// goes, and its integrity says so.
/// @throws Error for a source or an edit without frames; Interrupted
Measurement measure(NamedSource source, std::vector<NamedSource> edited,
                    const MeasureOptions& options = {});

}  // namespace weft
