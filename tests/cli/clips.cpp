#include "tests/cli/clips.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <mutex>

#include "io/media/reader.h"
#include "tests/cli/program.h"
#include "tests/fixtures/tiny_model.h"

namespace weft {

const std::filesystem::path& tiny_shelf() {
    static const TemporaryFolder folder;
    static std::once_flag written;
    std::call_once(written, [] { write_tiny_model(folder / "starter"); });
    return folder.path();
}

std::string make_clip(const std::filesystem::path& path, const std::string& pattern,
                      const std::vector<std::string>& more) {
    std::vector<std::string> command{"ffmpeg", "-v", "error", "-y", "-threads",
                                     "1",      "-f", "lavfi", "-i", pattern};
    command.insert(command.end(), more.begin(), more.end());
    command.push_back(path.string());
    const auto made = tool(command);
    INFO(made.error);
    REQUIRE(made.code == 0);
    return path.string();
}

std::string probe(const std::string& path, const std::string& stream, const std::string& entries) {
    return tool({"ffprobe", "-v", "error", "-select_streams", stream, "-show_entries", entries,
                 "-show_data_hash", "md5", "-of", "csv=p=0", path})
        .out;
}

std::vector<Frame> frames_of(const std::string& path) {
    const auto source = open_video(path);
    std::vector<Frame> frames;
    while (auto frame = source->next()) {
        frames.push_back(std::move(*frame));
    }
    return frames;
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace weft
