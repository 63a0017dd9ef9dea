#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>

#include "io/files/error.h"
#include "io/media/inspect.h"
#include "io/media/picture.h"
#include "io/media/reader.h"
#include "io/media/writer.h"
#include "tests/io/media/clips.h"

namespace weft {
namespace {

namespace fs = std::filesystem;
using test::clip;
using test::moving;

fs::path text_file(const std::string& name, const std::string& text) {
    fs::path path = test::scratch() / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
}

/// The first `share` of a file's bytes.
fs::path cut(const fs::path& whole, double share, const std::string& name) {
    std::ifstream file(whole, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), {});
    bytes.resize(static_cast<size_t>(static_cast<double>(bytes.size()) * share));
    return text_file(name, bytes);
}

/// Reads all frames; returns the error's text, empty where there was none.
std::string failure_of(const fs::path& path) {
    try {
        test::frames_of(path);
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

/// Peak memory in kB of a copy of `in` by a fresh process of this program.
int64_t peak_of_copy(const fs::path& in, const fs::path& out) {
    ::setenv("WEFT_TEST_IN", in.c_str(), 1);    // NOLINT(concurrency-mt-unsafe)
    ::setenv("WEFT_TEST_OUT", out.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
    std::string program = fs::read_symlink("/proc/self/exe").string();
    std::string tag = "[copy-child]";
    std::array<char*, 3> arguments = {program.data(), tag.data(), nullptr};
    pid_t child = 0;
    REQUIRE(::posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments.data(), environ) ==
            0);
    int status = 0;

    struct rusage usage {};

    REQUIRE(::wait4(child, &status, 0, &usage) == child);
    REQUIRE(status == 0);
    return usage.ru_maxrss;
}

}  // namespace

TEST_CASE("copies a clip for another test", "[.][copy-child]") {
    const char* in = std::getenv("WEFT_TEST_IN");    // NOLINT(concurrency-mt-unsafe)
    const char* out = std::getenv("WEFT_TEST_OUT");  // NOLINT(concurrency-mt-unsafe)
    REQUIRE(in != nullptr);
    const auto source = open_video(in);
    const auto sink = create_video(out, source->info(), {.preset = "ultrafast", .overwrite = true});
    while (const auto frame = source->next()) sink->put(*frame);
    sink->finish();
}

TEST_CASE("memory does not grow with the clip") {
    const auto small =
        clip("long60.mp4", moving("320x180", "30", "2") + " -c:v libx264 -preset ultrafast");
    const auto large = clip("long480.mp4", "-stream_loop 7 -i '" + small.string() + "' -c copy");
    const int64_t before = peak_of_copy(small, test::scratch() / "long-out.mp4");
    const int64_t after = peak_of_copy(large, test::scratch() / "long-out.mp4");
    CHECK(static_cast<double>(after) <= 1.05 * static_cast<double>(before));
}

TEST_CASE("what is no clip gives one clear error") {
    const auto sound = clip("only.m4a", "-f lavfi -i sine=d=0.2 -c:a aac");

    struct Row {
        fs::path path;
        std::string cause;
    };

    const std::vector<Row> rows = {
        {test::scratch() / "missing.mp4", "does not exist"},
        {test::scratch(), "is a folder"},
        {text_file("empty.mp4", ""), "is empty"},
        {text_file("text.mp4", std::string(4000, 'a') + "\nnot a video\n"), "no media file"},
        {text_file("zeros.mkv", std::string(5000, '\0')), "no media file"},
        {sound, "no video stream"},
        {"/dev/null", "no regular file"},
    };
    for (const Row& row : rows) {
        const std::string text = failure_of(row.path);
        INFO(row.path << ": " << text);
        CHECK_THAT(text, Catch::Contains(row.cause));
        CHECK_THAT(text, Catch::Contains("'" + row.path.string() + "': "));
        CHECK(text.find('\n') == std::string::npos);
    }
    CHECK_THROWS_AS(inspect_media(test::scratch() / "text.mp4"), Error);
    CHECK_THROWS_AS(read_picture(test::scratch() / "text.mp4"), Error);
}

TEST_CASE("playlists are not followed") {
    const auto real = clip("target.mp4", moving("64x64", "25", "0.1"));
    const auto concat =
        text_file("concat.mp4", "ffconcat version 1.0\nfile '" + real.string() + "'\n");
    const auto hls = text_file("hls.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n" +
                                              real.string() + "\n#EXT-X-ENDLIST\n");
    CHECK_FALSE(failure_of(concat).empty());
    CHECK_FALSE(failure_of(hls).empty());
}

TEST_CASE("a name that looks like an address or a pattern is a plain file") {
    for (const char* name : {"http:x.mp4", "shot%03d.mp4", "a 'b'.mp4"}) {
        const fs::path path = test::scratch() / name;
        fs::copy_file(clip("target.mp4", moving("64x64", "25", "0.1")), path);
        CHECK(failure_of(path).empty());
    }
}

TEST_CASE("a cut file is an error, never a shorter clip") {
    const auto avi = clip("whole.avi", moving("160x90", "25", "2") + " -c:v mpeg4 -q:v 3");
    const auto mp4 = clip("whole.mp4", moving("160x90", "25", "2") +
                                           " -c:v libx264 -preset ultrafast -movflags +faststart");
    const auto mkv =
        clip("whole.mkv", moving("160x90", "25", "2") + " -c:v libx264 -preset ultrafast");
    for (const fs::path& whole : {avi, mp4, mkv}) {
        CHECK(failure_of(whole).empty());
        for (const double share : {0.2, 0.5, 0.77, 0.95}) {
            const fs::path part = cut(whole, share, "cut" + whole.extension().string());
            const std::string text = failure_of(part);
            INFO(part << " at " << share << ": " << text);
            CHECK_FALSE(text.empty());
        }
    }
}

TEST_CASE("damage names the place, and is counted where it is to be skipped") {
    const auto whole =
        clip("noisy-source.mkv", moving("160x90", "25", "1") + " -c:v ffv1 -level 3 -slicecrc 1");
    const fs::path broken = test::scratch() / "noisy.mkv";
    fs::copy_file(whole, broken);
    std::fstream file(broken, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(fs::file_size(broken) / 2));
    file.write("damage", 6);
    file.close();
    CHECK_THAT(failure_of(broken), Catch::Contains("damaged near frame"));
    const auto source = open_video(broken, {.damage = Damage::skip});
    int64_t frames = 0;
    while (source->next()) ++frames;
    CHECK(frames >= 23);
    CHECK(source->warnings().size() == 1);
}

TEST_CASE("frames above the limit are refused before they are decoded") {
    const auto path = clip("big.png", "-f lavfi -i color=red:s=400x300:d=1 -frames:v 1");
    CHECK_THROWS_WITH(open_video(path, {.max_pixels = 100'000}),
                      Catch::Contains("than the limit of 100000 pixels"));
}

TEST_CASE("a full disk is an error that leaves nothing") {
    const auto in = clip("noise.mkv",
                         "-f lavfi -i nullsrc=s=320x180:d=1,geq=random\\(1\\)*255:128:128"
                         " -c:v libx264 -preset ultrafast -qp 5 -pix_fmt yuv420p");

    struct rlimit before {};

    ::getrlimit(RLIMIT_FSIZE, &before);
    struct rlimit small = before;
    small.rlim_cur = 100'000;
    void (*const old)(int) = ::signal(SIGXFSZ, SIG_IGN);
    for (const char* ending : {"mp4", "mkv", "avi"}) {
        const fs::path out = test::scratch() / (std::string("fulldisk.") + ending);
        const auto source = open_video(in);
        ::setrlimit(RLIMIT_FSIZE, &small);
        std::string text;
        try {
            const auto sink = create_video(out, source->info(), {.crf = 5, .preset = "ultrafast"});
            while (const auto frame = source->next()) sink->put(*frame);
            sink->finish();
        } catch (const Error& error) {
            text = error.what();
        }
        ::setrlimit(RLIMIT_FSIZE, &before);
        INFO(text);
        CHECK_THAT(text, Catch::Contains(out.string()));
        CHECK(test::files_with("fulldisk.").empty());
    }
    ::signal(SIGXFSZ, old);
}

TEST_CASE("pictures are written whole and read back") {
    const torch::Tensor ramp = torch::linspace(0, 1, 33).expand({3, 21, 33}).clone();
    for (const char* name : {"still.png", "still.jpg", "still.JPEG"}) {
        const fs::path path = test::scratch() / name;
        write_picture(path, ramp);
        const torch::Tensor read = read_picture(path);
        REQUIRE(read.sizes() == ramp.sizes());
        const double limit = std::string(name) == "still.png" ? 0.5 / 255 * 1.01 : 4.0 / 255;
        CHECK((read - ramp).abs().max().item<double>() <= limit);
    }
    const torch::Tensor clear = torch::rand({4, 8, 8});
    write_picture(test::scratch() / "clear.png", clear);
    CHECK((read_picture(test::scratch() / "clear.png") - clear).abs().max().item<double>() <
          0.0021);
    CHECK_THROWS_WITH(write_picture(test::scratch() / "still.xyz", ramp),
                      Catch::Contains("no still format"));
    CHECK_THROWS_AS(write_picture("/nowhere/still.png", ramp), Error);
}

}  // namespace weft
