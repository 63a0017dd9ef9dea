#include "tests/io/media/clips.h"

#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace weft::test {
namespace fs = std::filesystem;

namespace {

/// Owns the scratch folder.
class Scratch {
  public:
    Scratch() : path_(fs::temp_directory_path() / ("weft-media-" + std::to_string(::getpid()))) {
        fs::create_directories(path_);
    }

    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }

    const fs::path& path() const { return path_; }

  private:
    fs::path path_;
};

}  // namespace

const fs::path& scratch() {
    static const Scratch folder;
    return folder.path();
}

void ffmpeg(const std::string& arguments) {
    const std::string command = "ffmpeg -nostdin -v error -y " + arguments + " >/dev/null 2>&1";
    INFO(command);
    REQUIRE(std::system(command.c_str()) == 0);  // NOLINT(concurrency-mt-unsafe)
}

fs::path clip(const std::string& name, const std::string& arguments) {
    fs::path path = scratch() / name;
    if (!fs::exists(path))
        ffmpeg(arguments + " '" + path.string() + "'");
    return path;
}

std::string moving(const std::string& size, const std::string& rate, const std::string& seconds) {
    return "-f lavfi -i testsrc2=s=" + size + ":r=" + rate + ":d=" + seconds;
}

std::vector<std::string> output_of(const std::string& command) {
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), &::pclose);
    REQUIRE(pipe != nullptr);
    std::vector<std::string> lines;
    std::array<char, 4096> buffer{};
    while (std::fgets(buffer.data(), buffer.size(), pipe.get()) != nullptr) {
        std::string line(buffer.data());
        while (!line.empty() && (line.back() == '\n' || line.back() == ',')) line.pop_back();
        if (!line.empty())
            lines.push_back(line);
    }
    return lines;
}

std::vector<double> probed_times(const fs::path& path) {
    std::vector<double> times;
    for (const std::string& line : output_of("ffprobe -v error -select_streams V:0 -show_entries "
                                             "frame=best_effort_timestamp_time -of csv=p=0 '" +
                                             path.string() + "'"))
        times.push_back(std::stod(line));
    return times;
}

std::string packet_digest(const fs::path& path, int audio) {
    const auto lines = output_of("ffmpeg -nostdin -v error -i '" + path.string() + "' -map 0:a:" +
                                 std::to_string(audio) + " -c copy -f md5 - 2>/dev/null");
    return lines.empty() ? "" : lines.front();
}

std::string stream_field(const fs::path& path, const std::string& field) {
    const auto lines =
        output_of("ffprobe -v error -select_streams V:0 -show_entries stream=" + field +
                  " -of csv=p=0 '" + path.string() + "'");
    return lines.empty() ? "" : lines.front();
}

std::vector<Frame> frames_of(const fs::path& path) {
    std::vector<Frame> frames;
    const auto source = open_video(path);
    while (auto frame = source->next()) frames.push_back(std::move(*frame));
    return frames;
}

Told copy_clip(const fs::path& in, const fs::path& out, WriteOptions options,
               const ReadOptions& part) {
    const auto source = open_video(in, part);
    std::unique_ptr<FrameSink> sink;
    options.side_source = in;
    options.preset = "ultrafast";
    while (const auto frame = source->next()) {
        if (sink == nullptr) {
            if (part.from)
                options.from = frame->time;
            sink = create_video(out, source->info(), options);
        }
        sink->put(*frame);
    }
    REQUIRE(sink != nullptr);
    sink->finish();
    return {.reader = source->warnings(), .writer = sink->warnings()};
}

double psnr(const torch::Tensor& a, const torch::Tensor& b) {
    const auto error = (a - b).to(torch::kFloat64).square().mean().item<double>();
    return error <= 1e-12 ? 120.0 : -10 * std::log10(error);
}

std::vector<std::string> files_with(const std::string& part) {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(scratch())) {
        const std::string name = entry.path().filename().string();
        if (name.find(part) != std::string::npos)
            names.push_back(name);
    }
    return names;
}

}  // namespace weft::test
