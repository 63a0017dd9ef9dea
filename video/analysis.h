#pragma once

#include <torch/types.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/media/frame.h"
#include "temporal/flow.h"
#include "temporal/noise_chain.h"
#include "video/clip.h"
#include "video/job.h"

namespace weft {

/// What the analysis pass found out about a clip: where its shots begin and how each frame moves
/// into the next. Lies on disk and is mapped as needed, so memory does not depend on the clip's
/// length. Thread-safe: yes.
class ClipAnalysis {
  public:
    /// Opens what analyse() wrote. Throws Error where files are missing or not as they should be.
    explicit ClipAnalysis(const std::filesystem::path& folder);
    ~ClipAnalysis();
    ClipAnalysis(const ClipAnalysis&) = delete;
    ClipAnalysis& operator=(const ClipAnalysis&) = delete;

    int64_t frames() const;
    /// All frames, by their places.
    const std::vector<ClipFrame>& list() const;
    /// Place of the frame of that number; nullopt where it is none of the clip's.
    std::optional<int64_t> place_of(int64_t frame) const;
    /// Numbers (Frame::index) of the frames that begin a shot, rising; the clip's first is one.
    const std::vector<int64_t>& shots() const;
    /// The begin of the shot that holds a frame.
    int64_t shot_start(int64_t frame) const;
    /// Motion from the frame before into `frame`, on the analysis grid, [1, 2, h, w] float32; only
    /// for a frame after the clip's first, and only where motion was asked for. "Before" is the
    /// place before, whatever its number. Across a cut it means nothing.
    FlowPair motion_into(int64_t frame) const;
    /// Share of a frame's pixels whose backward flow is valid; 0 at the clip's first.
    double valid_share(int64_t frame) const;

  private:
    struct Store;
    std::unique_ptr<Store> store_;
};

/// How a clip is analysed. Everything but `cache`, `stop` and `on_frame` is part of the result's
/// name in the cache.
struct AnalysisOptions {
    /// Flow is estimated at this longer side in pixels (never more than the source's) and kept at
    /// half of it.
    int64_t longer_side = 512;
    std::string estimator = "dis";
    FlowChecks checks = {};
    /// Whether flow is estimated; without it shots and times are found alone, many times faster.
    bool motion = true;
    /// What the frames depend on beside the source's file: the part that is read, a new rate.
    std::string reading = {};
    /// Folder that keeps analyses from run to run.
    std::filesystem::path cache = {};
    const std::atomic<bool>* stop = nullptr;
    /// Called with the number of frames done. May be empty.
    std::function<void(int64_t)> on_frame = {};
};

/// $XDG_CACHE_HOME/weft/analysis, or ~/.cache/weft/analysis.
std::filesystem::path analysis_cache();

/// A name for what a file holds (image sequences count by their files' names, sizes and times of
/// change) and for a text: 16 hexadecimal digits. Throws Error where it cannot be read.
std::string source_key(const std::filesystem::path& path, const std::string& text);

/// Reads all frames of a source once and finds cuts and motion, or opens what an earlier run found
/// for the same file and settings. About 0.2 MB a frame for a 16:9 clip. The folder appears in the
/// cache when it is whole; older ones are removed where all take more than 8 GB.
/// @throws Error for a source without frames or a cache that cannot be written; Interrupted
std::shared_ptr<const ClipAnalysis> analyse(std::unique_ptr<FrameSource> source,
                                            const AnalysisOptions& options);

/// A clip's motion on the grid that a job denoises: resized with the picture, and continued into
/// its padding. Thread-safe: yes.
class JobMotion : public ClipMotion {
  public:
    JobMotion(std::shared_ptr<const ClipAnalysis> analysis, const Fit& fit);

    int64_t shot_start(int64_t frame) const override;
    FlowPair into(int64_t frame, int64_t height, int64_t width) const override;

  private:
    std::shared_ptr<const ClipAnalysis> analysis_;
    Fit fit_;
};

/// A scene that stands still: for pictures made from text alone and for single pictures.
class StillMotion : public ClipMotion {
  public:
    int64_t shot_start(int64_t frame) const override;
    FlowPair into(int64_t frame, int64_t height, int64_t width) const override;
};

/// Lets a job's noise follow the clip that was analysed; does nothing for kinds that stand still.
void follow_motion(Job& job, std::shared_ptr<const ClipAnalysis> analysis);

}  // namespace weft
