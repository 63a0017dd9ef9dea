#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/media/frame.h"
#include "video/editor.h"
#include "video/stages.h"

namespace weft {

/// How far a run is.
struct RunProgress {
    int64_t frames_done = 0;
    int64_t frames_total = 0;  // estimate; 0 where unknown
    int64_t step = 0;          // denoising steps done of the frames in work
    int64_t steps = 0;
    double elapsed_s = 0;

    double frames_per_second() const;
    /// Seconds left by the pace so far, counting the steps of the frames in work; < 0 where
    /// unknown.
    double left_s() const;
};

struct RunOptions {
    std::filesystem::path out;
    bool overwrite = false;
    /// Looked at between denoising steps; when it is set the run throws Interrupted and leaves
    /// nothing of OUT. May be null.
    const std::atomic<bool>* stop = nullptr;
    /// Called from the caller's thread after every denoising step and every batch. May be empty.
    std::function<void(const RunProgress&)> on_progress;
};

/// What a run did.
struct RunReport {
    int64_t frames = 0;
    double elapsed_s = 0;
    std::vector<std::string> warnings;  // of reader and writer, one sentence each
};

/// Edits every frame of `source` and writes OUT: decodes ahead, edits in batches, encodes behind.
/// Times, audio and the other streams are the source's. Memory depends on the frame size and the
/// batch, never on the clip's length. OUT appears when it is whole; whatever is thrown, nothing
/// half-written stays.
/// @param clock takes the time of each stage
/// @throws Error for a damaged source, no frame in [from, to), or an OUT that cannot be written;
///         Interrupted where `stop` was set
RunReport run(const Editor& editor, std::unique_ptr<FrameSource> source, const RunOptions& options,
              StageClock& clock);

}  // namespace weft
