#include "io/media/segments.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "io/files/error.h"
#include "tests/io/media/clips.h"

namespace weft {
namespace {

namespace fs = std::filesystem;
using test::clip;
using test::frames_of;
using test::moving;
using test::scratch;

const std::string sound = " -f lavfi -i sine=440:r=44100:d=1 -c:a aac ";

/// 24 frames with sound, at a variable rate.
fs::path variable_clip() {
    const auto whole = clip("seg-cfr.mp4", moving("96x64", "30", "1.2") + sound +
                                               "-c:v libx264 -bf 2 -crf 4 -pix_fmt yuv420p");
    return clip("seg-vfr.mp4", "-i '" + whole.string() +
                                   "' -vf \"select='not(mod(n,3))+eq(mod(n,7),1)+gt(n,25)'\""
                                   " -vsync vfr -c:v libx264 -bf 3 -crf 4 -c:a copy");
}

fs::path constant_clip(const std::string& ending) {
    return clip("seg-c" + ending,
                moving("96x64", "25", "0.8") + sound + "-c:v mpeg4 -bf 0 -q:v 2 -pix_fmt yuv420p");
}

/// Encodes a clip's frames in parts that begin at the given places.
std::vector<fs::path> encode_parts(const fs::path& in, const fs::path& out,
                                   const WriteOptions& options, const std::vector<size_t>& starts) {
    const auto info = open_video(in)->info();
    const auto frames = frames_of(in);
    std::vector<fs::path> files;
    for (size_t part = 0; part < starts.size(); ++part) {
        const auto file = scratch() / (out.filename().string() + std::to_string(part) + ".seg");
        const auto sink =
            create_segment(file, out, info, options, "digest " + std::to_string(part));
        const size_t end = part + 1 < starts.size() ? starts[part + 1] : frames.size();
        for (size_t i = starts[part]; i < end; ++i) {
            sink->put(frames.at(i));
        }
        sink->finish();
        files.push_back(file);
    }
    return files;
}

/// pts and dts of the picture's packets in decoding order, as numbers of ticks.
std::vector<std::pair<int64_t, int64_t>> packet_times(const fs::path& path) {
    std::vector<std::pair<int64_t, int64_t>> times;
    for (const auto& line :
         test::output_of("ffprobe -v error -select_streams v:0 -show_entries packet=pts,dts "
                         "-of csv=p=0 '" +
                         path.string() + "'")) {
        std::istringstream fields(line);
        int64_t pts = 0;
        int64_t dts = 0;
        char comma = 0;
        if (fields >> pts >> comma >> dts) {
            times.emplace_back(pts, dts);
        }
    }
    return times;
}

void check_joined(const fs::path& in, const fs::path& out, double tick, double least_psnr) {
    const auto before = frames_of(in);
    const auto after = frames_of(out);
    REQUIRE(after.size() == before.size());
    for (size_t i = 0; i < after.size(); ++i) {
        INFO("frame " << i);
        CHECK(std::abs(after[i].time.seconds() - before[i].time.seconds()) <= tick);
        CHECK(std::abs(after[i].duration.seconds() - before[i].duration.seconds()) <=
              2 * tick + 1e-4);
        CHECK(test::psnr(after[i].pixels, before[i].pixels) >= least_psnr);
    }
    if (out.extension() != ".mp4" && out.extension() != ".mov") {
        return;  // other containers do not store decoding times
    }
    const auto times = packet_times(out);
    REQUIRE(times.size() == before.size());
    for (size_t i = 0; i < times.size(); ++i) {
        INFO("packet " << i);
        CHECK(times[i].second <= times[i].first);
        CHECK((i == 0 || times[i].second > times[i - 1].second));
    }
}

TEST_CASE("segments of every codec are joined to one stream with the source's times") {
    struct Case {
        std::string codec;
        std::string ending;
        std::string options;
        double tick;
        double psnr;
    };

    // Parts of one and two frames are shorter than the encoders' look-ahead and reordering.
    const std::vector<size_t> starts{0, 1, 2, 4, 12};
    for (const Case& c :
         std::vector<Case>{{"h264", ".mp4", "bf=3:b-pyramid=normal", 0, 30},
                           {"h264", ".mkv", "bf=2", 0.001, 30},
                           {"h265", ".mp4", "", 0, 30},
                           {"vp9", ".webm", "lag-in-frames=8:auto-alt-ref=1", 0.001, 28},
                           {"ffv1", ".mkv", "", 0.001, 60},
                           {"prores", ".mov", "", 0, 30}}) {
        INFO(c.codec << c.ending);
        const auto in = variable_clip();
        const auto out = scratch() / ("joined-" + c.codec + c.ending);
        const WriteOptions options{.codec = c.codec,
                                   .encoder_options = c.options,
                                   .preset = "veryfast",
                                   .side_source = in,
                                   .overwrite = true};
        const auto info = open_video(in)->info();
        CHECK(can_join(out, info, options));
        const auto files = encode_parts(in, out, options, starts);
        CHECK(segment_digest(files[1]) == "digest 1");
        join_segments(out, info, options, files);
        check_joined(in, out, c.tick, c.psnr);
        if (c.ending != ".webm") {
            CHECK(test::packet_digest(out) == test::packet_digest(in));
        }
    }
}

TEST_CASE("a container that counts frames is joined as well") {
    const auto in = constant_clip(".avi");
    const auto out = scratch() / "joined.avi";
    const WriteOptions options{.codec = "h264", .side_source = in, .overwrite = true};
    join_segments(out, open_video(in)->info(), options, encode_parts(in, out, options, {0, 7}));
    check_joined(in, out, 0, 30);
}

TEST_CASE("one segment alone is the clip that a single encoder writes") {
    const auto in = variable_clip();
    const auto joined = scratch() / "single.mp4";
    const auto straight = scratch() / "straight.mp4";
    const WriteOptions options{.preset = "ultrafast", .side_source = in, .overwrite = true};
    join_segments(joined, open_video(in)->info(), options, encode_parts(in, joined, options, {0}));
    test::copy_clip(in, straight, options);
    const auto a = frames_of(joined);
    const auto b = frames_of(straight);
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) {
        CHECK(torch::equal(a[i].pixels, b[i].pixels));
        CHECK(a[i].time == b[i].time);
    }
}

TEST_CASE("segments that do not belong together are refused") {
    const auto in = variable_clip();
    const auto out = scratch() / "unfit.mp4";
    const WriteOptions options{.overwrite = true};
    const auto info = open_video(in)->info();
    auto files = encode_parts(in, out, options, {0, 9});
    SECTION("out of order") {
        std::swap(files[0], files[1]);
        CHECK_THROWS_WITH(join_segments(out, info, options, files), Catch::Contains("follow on"));
    }
    SECTION("other settings") {
        auto other = options;
        other.codec = "h265";
        CHECK_THROWS_WITH(join_segments(out, info, other, files),
                          Catch::Contains("other settings"));
    }
    SECTION("cut short") {
        fs::resize_file(files[1], fs::file_size(files[1]) - 1);
        CHECK_FALSE(segment_digest(files[1]));
        CHECK_THROWS_WITH(join_segments(out, info, options, files),
                          Catch::Contains("no whole segment"));
    }
    SECTION("a changed byte") {
        std::fstream file(files[1], std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(fs::file_size(files[1]) / 2));
        file.put('\x5a');
        file.put('\xa5');
        file.close();
        CHECK_THROWS_AS(join_segments(out, info, options, files), Error);
    }
    CHECK_FALSE(fs::exists(out));
}

TEST_CASE("what is no single stream of packets is not made in segments") {
    const auto info = open_video(variable_clip())->info();
    CHECK_FALSE(can_join(scratch() / "a.gif", info, {}));
    CHECK_FALSE(can_join(scratch() / "a.png", info, {}));
    CHECK_FALSE(can_join(scratch() / "a.%04d.png", info, {}));
    CHECK_FALSE(can_join("-", info, {}));
    CHECK_FALSE(can_join(scratch() / "a.y4m", info, {}));
}

}  // namespace
}  // namespace weft
