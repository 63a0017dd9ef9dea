#pragma once

#include <functional>
#include <memory>

#include "video/analysis.h"
#include "video/clip.h"
#include "video/job.h"
#include "video/storyboard.h"

namespace weft {

/// A clip that can be read again, and how it is worked through.
struct ClipWork {
    ClipSource source;
    std::shared_ptr<const ClipAnalysis> analysis;
    Storyboard board;
};

/// True where a job cannot do without the analysis: it has key frames, or noise that moves.
bool needs_analysis(const Job& job);

/// Analyses a clip as far as a job needs it, lets the job's noise follow it, sets the job's number
/// of frames to the true one, and lays out shots, key frames and segments. A pure function of the
/// job's plan and the clip.
/// @param stop, on_frame as in AnalysisOptions
ClipWork lay_out(Job& job, const ClipSource& source, const std::atomic<bool>* stop,
                 const std::function<void(int64_t)>& on_frame);

}  // namespace weft
