#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace weft {

/// What a finished program left.
struct Finished {
    int code = 0;            // exit code; 128 + signal where one ended it
    std::string out;         // stdout
    std::string error;       // stderr
    int64_t peak_bytes = 0;  // peak resident memory
    double cpu_s = 0;        // time on processors, which other programs do not stretch

    /// Lines on stderr that start with "weft: error:".
    int64_t error_lines() const;
};

/// Sanitizers take several times the memory, so that bounds on it say nothing.
#ifdef WEFT_SANITIZED
constexpr bool memory_counts = false;
#else
constexpr bool memory_counts = true;
#endif

/// How to run a program.
struct Running {
    std::vector<std::string> arguments;
    std::filesystem::path models;  // $WEFT_MODELS
    /// Called about every 20 ms with the process id while it runs; may send signals.
    std::function<void(int pid)> meanwhile;
};

/// Runs the weft of this build to its end.
Finished weft_program(const Running& running);

/// Runs a tool found in PATH (ffmpeg, ffprobe) to its end; stdout and stderr are kept.
Finished tool(const std::vector<std::string>& command);

}  // namespace weft
