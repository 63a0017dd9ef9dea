#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace weft {
namespace {

constexpr auto bar_interval = std::chrono::milliseconds(100);
constexpr auto plain_interval = std::chrono::seconds(5);

template <class... Values>
std::string text(const char* pattern, Values... values) {
    std::array<char, 256> buffer{};
    std::snprintf(buffer.data(), buffer.size(), pattern, values...);
    return buffer.data();
}

/// "1:02:03" or "2:03"; "?" where unknown.
std::string clock_text(double seconds) {
    if (seconds < 0) {
        return "?";
    }
    const auto whole = static_cast<int64_t>(std::llround(seconds));
    const long hours = whole / 3600;
    const long minutes = whole / 60 % 60;
    const long rest = whole % 60;
    return hours > 0 ? text("%ld:%02ld:%02ld", hours, minutes, rest)
                     : text("%ld:%02ld", minutes, rest);
}

/// "frame 3/100, 0.41 frames/s, 3:56 left".
std::string sentence(const RunProgress& progress) {
    const auto total =
        progress.frames_total > 0 ? text("/%ld", static_cast<long>(progress.frames_total)) : "";
    const std::string what = std::string(progress.stage) == "analyse" ? "analyse: " : "";
    return what + text("frame %ld%s, %.2f frames/s, %s left",
                       static_cast<long>(progress.frames_done), total.c_str(),
                       progress.frames_per_second(), clock_text(progress.left_s()).c_str());
}

std::string stage_text(const RunProgress& progress) {
    return progress.step > 0 && std::string(progress.stage) == "denoise"
               ? text("denoise %ld/%ld", static_cast<long>(progress.step),
                      static_cast<long>(progress.steps))
               : progress.stage;
}

std::string json_progress(const RunProgress& progress) {
    return text(R"({"event":"progress","stage":"%s","frames":%ld,"total":%ld,"step":%ld,)",
                progress.stage, static_cast<long>(progress.frames_done),
                static_cast<long>(progress.frames_total), static_cast<long>(progress.step)) +
           text(R"("steps":%ld,"fps":%.4f,"left_s":%.1f})", static_cast<long>(progress.steps),
                progress.frames_per_second(), progress.left_s());
}

/// A text as JSON writes it.
std::string json_text(const std::string& words) {
    std::string quoted = "\"";
    for (const char c : words) {
        if (c == '"' || c == '\\') {
            quoted += '\\';
        }
        quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return quoted + "\"";
}

double per_frame(const StageClock& clock, Stage stage, int64_t frames) {
    return clock.seconds(stage) / static_cast<double>(std::max<int64_t>(1, frames));
}

std::string json_done(const RunReport& report, const StageClock& clock) {
    std::string line = text(
        R"({"event":"done","frames":%ld,"elapsed_s":%.3f,"peak_rss_bytes":%ld,"stages":{)",
        static_cast<long>(report.frames), report.elapsed_s, static_cast<long>(peak_memory_bytes()));
    for (const Stage stage : all_stages) {
        std::string name = name_of(stage);
        std::replace(name.begin(), name.end(), ' ', '_');
        line += text(R"(%s"%s":{"seconds":%.3f,"seconds_per_frame":%.4f})",
                     stage == all_stages.front() ? "" : ",", name.c_str(), clock.seconds(stage),
                     per_frame(clock, stage, report.frames));
    }
    return line + "}}";
}

void print_line(const std::string& line) {
    std::fprintf(stderr, "%s\n", line.c_str());
}

}  // namespace

std::optional<ProgressMode> progress_mode_named(const std::string& name) {
    constexpr std::array<std::pair<const char*, ProgressMode>, 5> names{{
        {"auto", ProgressMode::automatic},
        {"bar", ProgressMode::bar},
        {"plain", ProgressMode::plain},
        {"json", ProgressMode::json},
        {"none", ProgressMode::none},
    }};
    for (const auto& [known, mode] : names) {
        if (name == known) {
            return mode;
        }
    }
    return std::nullopt;
}

ProgressPrinter::ProgressPrinter(ProgressMode mode, Verbosity verbosity)
    : mode_(mode), verbosity_(verbosity) {
    if (mode_ == ProgressMode::automatic) {
        mode_ = isatty(STDERR_FILENO) != 0 ? ProgressMode::bar : ProgressMode::plain;
    }
    if (verbosity_ == Verbosity::quiet) {
        mode_ = ProgressMode::none;
    }
}

ProgressPrinter::~ProgressPrinter() {
    clear_line();
}

void ProgressPrinter::clear_line() {
    if (line_open_) {
        std::fprintf(stderr, "\r\033[K");
        line_open_ = false;
    }
}

void ProgressPrinter::show(const RunProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    const bool new_frames = progress.frames_done != shown_frames_;
    switch (mode_) {
        case ProgressMode::bar:
            if (now - last_ < bar_interval) {
                return;
            }
            draw_bar(progress);
            break;
        case ProgressMode::plain:
            if (!new_frames || now - last_ < plain_interval) {
                return;
            }
            print_line("weft: " + sentence(progress));
            break;
        case ProgressMode::json:
            if (!new_frames && now - last_ < bar_interval) {
                return;
            }
            print_line(json_progress(progress));
            break;
        case ProgressMode::automatic:
        case ProgressMode::none:
            return;
    }
    shown_frames_ = progress.frames_done;
    last_ = now;
}

void ProgressPrinter::note(const std::string& words) {
    clear_line();
    if (mode_ == ProgressMode::json) {
        print_line(R"({"event":"note","text":)" + json_text(words) + "}");
    } else if (verbosity_ != Verbosity::quiet && mode_ != ProgressMode::none) {
        print_line("weft: " + words);
    }
}

void ProgressPrinter::draw_bar(const RunProgress& progress) {
    constexpr int width = 24;
    const double part = progress.frames_total > 0
                            ? std::min(1.0, static_cast<double>(progress.frames_done) /
                                                static_cast<double>(progress.frames_total))
                            : 0;
    const auto filled = static_cast<size_t>(part * width);
    const std::string bar = std::string(filled, '=') + std::string(width - filled, ' ');
    std::fprintf(stderr, "\r[%s] %s, %s\033[K", bar.c_str(), sentence(progress).c_str(),
                 stage_text(progress).c_str());
    std::fflush(stderr);
    line_open_ = true;
}

void ProgressPrinter::finish(const RunReport& report, const StageClock& clock) {
    clear_line();
    if (mode_ == ProgressMode::json) {
        print_line(json_done(report, clock));
    }
    if (verbosity_ == Verbosity::quiet) {
        return;
    }
    for (const auto& warning : report.warnings) {
        print_line("weft: warning: " + warning);
    }
    if (verbosity_ == Verbosity::verbose) {
        std::fputs(timing_table(report, clock).c_str(), stderr);
    }
}

std::string timing_table(const RunReport& report, const StageClock& clock) {
    std::string table =
        text("weft: %ld frames in %.1f s, %.3f s a frame, peak memory %ld MB\n",
             static_cast<long>(report.frames), report.elapsed_s,
             report.elapsed_s / static_cast<double>(std::max<int64_t>(1, report.frames)),
             static_cast<long>(peak_memory_bytes() >> 20));
    for (const Stage stage : all_stages) {
        table += text("weft:   %-15s %8.4f s a frame\n", name_of(stage),
                      per_frame(clock, stage, report.frames));
    }
    return table;
}

}  // namespace weft
