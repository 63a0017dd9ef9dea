#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/media/frame.h"
#include "io/media/writer.h"
#include "video/editor.h"
#include "video/segment_renderer.h"
#include "video/stages.h"

namespace weft {

/// How far a run is.
struct RunProgress {
    const char* stage = "";  // "analyse", "denoise", "propagate", "join" ...
    int64_t frames_done = 0;
    int64_t frames_kept = 0;   // of those, found finished by an earlier run
    int64_t frames_total = 0;  // estimate; 0 where unknown
    int64_t step = 0;          // denoising steps done of the frames in work
    int64_t steps = 0;
    double elapsed_s = 0;

    double frames_per_second() const;
    /// Seconds left by the pace so far; < 0 where unknown. Where frames are edited one by one the
    /// steps of the frame in work count.
    double left_s() const;
};

struct RunOptions {
    std::filesystem::path out;
    bool overwrite = false;
    /// Ignore what an earlier run left in OUT.weft.
    bool restart = false;
    /// Leave OUT.weft when OUT is whole.
    bool keep_work = false;
    /// Render these segments, first and last, and stop; OUT.weft keeps them for join.
    std::optional<std::pair<int64_t, int64_t>> segments = std::nullopt;
    /// Looked at between denoising steps; when it is set the run throws Interrupted. May be null.
    const std::atomic<bool>* stop = nullptr;
    /// Called from the caller's thread after every denoising step and every frame. May be empty.
    std::function<void(const RunProgress&)> on_progress = {};
    /// A note that is of use before the run is over. May be empty.
    std::function<void(const std::string&)> on_note = {};
};

/// What a run did.
struct RunReport {
    int64_t frames = 0;
    double elapsed_s = 0;
    std::vector<std::string> warnings = {};  // of reader and writer, one sentence each
};

/// Edits every frame of `source` on its own and writes OUT, in one go: decodes ahead, edits in
/// batches, encodes behind. For pipes and pictures, and what segments cannot be joined to. Times,
/// audio and the other streams are the source's. Memory depends on the frame size and the batch,
/// never on the clip's length. OUT appears when it is whole; whatever is thrown, nothing
/// half-written stays.
/// @param clock takes the time of each stage
/// @throws Error for a damaged source, no frame in [from, to), or an OUT that cannot be written;
///         Interrupted where `stop` was set
RunReport run(const Editor& editor, std::unique_ptr<FrameSource> source, const RunOptions& options,
              StageClock& clock);

/// The edit of strength 0: every frame of `source` as it is. Needs no model.
RunReport run_untouched(const Job& job, std::unique_ptr<FrameSource> source,
                        const RunOptions& options, StageClock& clock);

/// A run over a clip that can be read again.
struct ClipRun {
    const Job& job;
    const ClipWork& work;
    std::filesystem::path model;  // its folder or file
    Placement placement;
    /// Loads the model; called at most once, and only where something is to be rendered.
    std::function<Editor()> load;
};

/// Edits a clip segment by segment (storyboard.h). Finished segments lie in OUT.weft; a run that
/// ends early leaves them, and the next one with the same plan takes over those whose digest fits.
/// OUT is joined from them, appears when it is whole, and OUT.weft is removed. Where OUT is nothing
/// that segments can be joined to, they are rendered straight into it.
/// @throws as run(); UsageError for segments that the clip does not have
RunReport run_clip(const ClipRun& run, const RunOptions& options, StageClock& clock);

/// Joins the work folders of parts, in any order, to OUT.
/// @param info, job of the source that the parts were made from
/// @throws Error naming the segments that are missing, or folders that do not belong together
RunReport join_parts(const std::vector<std::filesystem::path>& folders, const Job& job,
                     const StreamInfo& info, const RunOptions& options);

}  // namespace weft
