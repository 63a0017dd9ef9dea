#pragma once

// What the ways of running a plan have in common; for sources of video only.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "video/run.h"

namespace weft {

/// Throws Interrupted where the user asked to stop. @param outcome what becomes of OUT then
void throw_if_stopped(const RunOptions& options, const std::string& outcome);

/// Keeps RunProgress up to date and tells the caller.
class ProgressTeller {
  public:
    /// @param outcome what a user who stops the run is told
    ProgressTeller(const Job& job, const RunOptions& options, std::string outcome);

    /// A denoising step.
    void step();
    /// Time passed; `stage` is what runs now.
    void pause(const char* stage);
    void frames(int64_t count);
    /// Frames that an earlier run has finished.
    void kept(int64_t count);

    double elapsed_s() const;

    /// What an editor tells this.
    RenderWatch watch(StageClock& clock);

  private:
    void tell();

    const RunOptions& options_;
    std::string outcome_;
    std::chrono::steady_clock::time_point start_;
    RunProgress progress_;
};

/// How a job's result is written.
/// @param first the first frame's time @param end where a --to that is a frame number ends
WriteOptions write_options(const Job& job, const StreamInfo& info, const Time& first,
                           const std::optional<Time>& end, bool overwrite);

/// A sink that encodes behind, on a thread of its own, repeats frames where --fps asks for it and
/// counts its time.
std::unique_ptr<FrameSink> behind(std::unique_ptr<FrameSink> sink, const Job& job,
                                  StageClock& clock);

void append(std::vector<std::string>& to, std::vector<std::string> from);

}  // namespace weft
