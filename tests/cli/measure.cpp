#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/cli/program.h"
#include "tests/fixtures/tiny_model.h"

using namespace weft;

namespace {

/// A moving pattern with a tone, made by the ffmpeg tool.
std::string make_clip(const std::filesystem::path& path, const std::string& pattern) {
    const auto made = tool({"ffmpeg", "-v", "error", "-y", "-threads", "1", "-f", "lavfi", "-i",
                            pattern, "-pix_fmt", "yuv420p", path.string()});
    INFO(made.error);
    REQUIRE(made.code == 0);
    return path.string();
}

Finished program(const std::vector<std::string>& arguments,
                 const std::filesystem::path& models = {}) {
    auto all = arguments;
    all.insert(all.end(), {"--threads", "1"});
    return weft_program({.arguments = all, .models = models, .meanwhile = {}});
}

constexpr const char* pattern = "testsrc2=size=128x96:rate=25:duration=1";

}  // namespace

TEST_CASE("measure compares a clip with its edits") {
    const TemporaryFolder folder;
    const auto source = make_clip(folder / "source.mp4", pattern);
    const auto noisy =
        make_clip(folder / "noisy.mp4", std::string(pattern) + ",noise=alls=30:allf=t");
    const auto short_one =
        make_clip(folder / "short.mp4", "testsrc2=size=128x96:rate=25:duration=0.8");
    const auto page = (folder / "page.html").string();
    const auto done =
        program({"measure", source, source, noisy, short_one, "--json", "--report", page});
    INFO(done.error);
    REQUIRE(done.code == 0);
    const auto report = nlohmann::json::parse(done.out);
    REQUIRE(report["clips"].size() == 4);
    const auto& copy = report["clips"][1];
    CHECK(copy["summary"]["warp_ratio"] == 1.0);
    CHECK(copy["summary"]["strength"] == 0.0);
    CHECK(copy["integrity"]["same_frames"] == true);
    CHECK(copy["frames"]["warp_error"].size() == 25);
    const auto& noise = report["clips"][2];
    CHECK(noise["summary"]["warp_ratio"] > 1.2);
    CHECK(noise["summary"]["strength"] > 0.01);
    CHECK(report["clips"][3]["integrity"]["same_frames"] == false);
    CHECK(std::filesystem::file_size(page) > 10'000);

    const auto table = program({"measure", source, short_one});
    CHECK(table.code == 0);
    CHECK(table.out.find("short.mp4: has another number of frames") != std::string::npos);
}

TEST_CASE("measure refuses what it cannot read") {
    const TemporaryFolder folder;
    const auto source = make_clip(folder / "source.mp4", pattern);
    const auto missing = program({"measure", source, (folder / "none.mp4").string()});
    CHECK(missing.code == 1);
    CHECK(missing.error_lines() == 1);
    CHECK(program({"measure", source}).code == 2);
    CHECK(program({"measure", source, source, "--flow", "none"}).code == 2);
    CHECK(program({"measure", source, source, "--drift-frames", "1"}).code == 2);
    const auto empty = program({"measure", source, source, "--from", "90"});
    CHECK(empty.code == 1);
    CHECK(empty.error_lines() == 1);
}

TEST_CASE("noise that moves follows the clip and is the same every time") {
    const TemporaryFolder folder;
    write_tiny_model(folder / "starter");
    setenv("XDG_CACHE_HOME", (folder / "cache").c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
    const auto source = make_clip(folder / "source.mp4", pattern);
    const auto edit = [&](const std::string& name, const std::string& noise) {
        const auto out = (folder / name).string();
        const auto done = program({"stylize", source, "-p", "neon", "-o", out, "--noise", noise,
                                   "--codec", "ffv1", "--to", "6f"},
                                  folder.path());
        INFO(done.error);
        REQUIRE(done.code == 0);
        return tool({"ffmpeg", "-v", "error", "-i", out, "-f", "md5", "-"}).out;
    };
    const auto first = edit("a.mkv", "warped");
    CHECK(std::filesystem::exists(folder / "cache/weft/analysis"));
    CHECK(edit("b.mkv", "warped") == first);
    CHECK(edit("c.mkv", "transported") != first);
    CHECK(edit("d.mkv", "fixed") != first);
    unsetenv("XDG_CACHE_HOME");  // NOLINT(concurrency-mt-unsafe)
}
