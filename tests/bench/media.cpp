#include "tests/bench/media.h"

#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>

#include "io/files/error.h"
#include "io/media/prefetch.h"
#include "io/media/reader.h"
#include "io/media/writer.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr int rounds = 3;
constexpr int64_t frames = 150;

struct Spent {
    double seconds = 0;
    int64_t peak_kib = 0;
};

/// Runs a program to its end. Throws Error where it fails.
Spent run_program(std::vector<std::string> command) {
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const auto start = std::chrono::steady_clock::now();
    pid_t child = 0;
    int status = 0;
    rusage usage{};
    const bool started =
        ::posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments.data(), environ) == 0;
    if (!started || ::wait4(child, &status, 0, &usage) != child || status != 0)
        throw Error(command.front(), "did not run to its end", "is ffmpeg installed?");
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    return {.seconds = spent.count(), .peak_kib = usage.ru_maxrss};
}

std::vector<std::string> ffmpeg(std::vector<std::string> arguments) {
    std::vector<std::string> command = {"ffmpeg", "-nostdin", "-v", "error", "-y"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
}

/// Moving shapes under film grain, as a camera gives.
void make_clip(const fs::path& path) {
    run_program(ffmpeg({"-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=25,noise=alls=6:allf=t",
                        "-frames:v", std::to_string(frames), "-c:v", "libx264", "-preset",
                        "veryfast", "-pix_fmt", "yuv420p", path.string()}));
}

}  // namespace

int copy_for_bench(const char* in, const char* out) {
    auto source = prefetch(open_video(in));
    auto sink =
        write_behind(create_video(out, source->info(), {.preset = "veryfast", .overwrite = true}));
    while (const auto frame = source->next()) sink->put(*frame);
    sink->finish();
    return 0;
}

void bench_media() {
    const fs::path folder =
        fs::temp_directory_path() / c10::str("weft-bench-", static_cast<long>(::getpid()));
    fs::create_directory(folder);
    const std::string in = (folder / "in.mp4").string();
    const std::string out = (folder / "out.mp4").string();
    make_clip(in);
    const std::string self = fs::read_symlink("/proc/self/exe").string();
    double ours = std::numeric_limits<double>::infinity();
    double theirs = ours;
    int64_t peak_kib = 0;
    for (int i = 0; i < rounds; ++i) {
        const Spent weft = run_program({self, "--copy", in, out});
        ours = std::min(ours, weft.seconds);
        peak_kib = std::max(peak_kib, weft.peak_kib);
        theirs = std::min(
            theirs, run_program(ffmpeg({"-threads", "2", "-i", in, "-vf",
                                        "format=rgb24,format=yuv420p", "-c:v", "libx264", "-crf",
                                        "18", "-preset", "veryfast", "-threads", "2", out}))
                        .seconds);
    }
    fs::remove_all(folder);
    std::printf(
        R"({"bench":"media","frames":%ld,"weft_fps":%.1f,"ffmpeg_fps":%.1f,"ratio":%.2f,"peak_rss_mib":%ld})"
        "\n",
        frames, static_cast<double>(frames) / ours, static_cast<double>(frames) / theirs,
        theirs / ours, peak_kib >> 10);
}

}  // namespace weft
