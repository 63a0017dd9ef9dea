#pragma once

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

#include "cli/command.h"
#include "video/run.h"

namespace weft {

/// How progress is shown on stderr.
enum class ProgressMode { automatic, bar, plain, json, none };

/// By its name on the command line; nullopt for an unknown one.
std::optional<ProgressMode> progress_mode_named(const std::string& name);

/// Shows how far a run is: one redrawn line on a terminal (`bar`), a line every few seconds
/// (`plain`), or one JSON object a line (`json`):
///   {"event":"progress","stage":"denoise","frames":3,"total":100,"step":2,"steps":8,"fps":0.41,
///    "left_s":236.1}
///   {"event":"note","text":"segments 0-2 are there from an earlier run"}
///   {"event":"done","frames":100,"elapsed_s":243.1,"peak_rss_bytes":812345344,
///    "stages":{"denoise":{"seconds":201.2,"seconds_per_frame":2.012},...}}
/// `automatic` is `bar` on a terminal and `plain` elsewhere; --quiet means `none`.
/// Thread-safe: no (the run's caller).
class ProgressPrinter {
  public:
    ProgressPrinter(ProgressMode mode, Verbosity verbosity);
    ProgressPrinter(const ProgressPrinter&) = delete;
    ProgressPrinter& operator=(const ProgressPrinter&) = delete;
    /// Clears an open line, so that an error message starts on a line of its own.
    ~ProgressPrinter();

    void show(const RunProgress& progress);
    /// Prints a line that is worth knowing before the run is over; not with --quiet.
    void note(const std::string& text);
    /// Ends the line; prints warnings and, in verbose or json mode, the time of each stage.
    void finish(const RunReport& report, const StageClock& clock);

  private:
    void clear_line();
    void draw_bar(const RunProgress& progress);

    ProgressMode mode_;
    Verbosity verbosity_;
    bool line_open_ = false;
    int64_t shown_frames_ = -1;
    std::chrono::steady_clock::time_point last_{};
};

/// The time of each stage and the peak memory, a line each, for --verbose.
std::string timing_table(const RunReport& report, const StageClock& clock);

}  // namespace weft
