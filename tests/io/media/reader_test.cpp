#include "io/media/reader.h"

#include <catch2/catch.hpp>

#include "io/files/error.h"
#include "io/media/inspect.h"
#include "io/media/picture.h"
#include "tests/io/media/clips.h"

namespace weft {
namespace {

using test::clip;
using test::moving;

/// Clips whose times differ in kind: constant, variable, offset, reordered, counted.
std::vector<std::filesystem::path> timed_clips() {
    const auto cfr = clip(
        "cfr.mp4", moving("160x90", "30000/1001", "1") + " -c:v libx264 -bf 3 -preset veryfast");
    return {
        cfr,
        clip("vfr.mp4", "-i '" + cfr.string() +
                            "' -vf \"select='not(mod(n,3))+eq(mod(n,7),1)'\" -vsync vfr"
                            " -c:v libx264 -bf 3"),
        clip("cfr.mkv", "-i '" + cfr.string() + "' -c copy"),
        clip("offset.ts", "-i '" + cfr.string() + "' -c copy"),
        clip("late.mov", "-itsoffset 0.7 -i '" + cfr.string() + "' -c copy"),
        clip("counted.avi", moving("160x90", "25", "1") + " -c:v mpeg4 -bf 0"),
        clip("vp9.webm", moving("160x90", "24", "0.5") + " -c:v libvpx-vp9 -cpu-used 8"),
        clip("short.gif", moving("64x48", "10", "0.5")),
    };
}

/// The pixels ffmpeg itself makes of a file's first frame as 8-bit RGB, through a PNG.
torch::Tensor first_frame_by_ffmpeg(const std::filesystem::path& path, const std::string& filter) {
    const auto png = clip(path.filename().string() + ".first.png",
                          "-i '" + path.string() + "' -frames:v 1 -vf " + filter);
    return read_picture(png);
}

}  // namespace

TEST_CASE("every frame comes with the time ffprobe sees") {
    for (const auto& path : timed_clips()) {
        INFO(path);
        const std::vector<double> expected = test::probed_times(path);
        const std::vector<Frame> frames = test::frames_of(path);
        REQUIRE(frames.size() == expected.size());
        for (size_t i = 0; i < frames.size(); ++i) {
            CHECK(frames[i].time.seconds() == Approx(expected[i]).margin(2e-6));
            CHECK(frames[i].index == static_cast<int64_t>(i));
            CHECK(frames[i].duration > Time());
            if (i + 1 < frames.size())
                CHECK(frames[i].time + frames[i].duration == frames[i + 1].time);
        }
    }
}

TEST_CASE("a part of a clip keeps the frames' numbers, times and pixels") {
    const auto path = timed_clips()[1];
    const std::vector<Frame> all = test::frames_of(path);
    const auto part = open_video(
        path, {.from = Position{.time = {}, .frame = 3}, .to = Position{.time = {}, .frame = 7}});
    for (int64_t i = 3; i < 7; ++i) {
        const Frame frame = part->next().value();
        CHECK(frame.index == i);
        CHECK(frame.time == all[i].time);
        CHECK(frame.duration == all[i].duration);
        CHECK(frame.pixels.equal(all[i].pixels));
    }
    CHECK_FALSE(part->next().has_value());
    CHECK_FALSE(part->next().has_value());

    const auto timed =
        open_video(path, {.from = Position::parse("0.3", ""), .to = Position::parse("0.6", "")});
    size_t count = 0;
    while (const auto frame = timed->next()) {
        CHECK(frame->time - all[0].time >= Time(3, 10));
        CHECK(frame->time - all[0].time < Time(6, 10));
        ++count;
    }
    size_t expected = 0;
    for (const Frame& frame : all) {
        const Time at = frame.time - all[0].time;
        expected += at >= Time(3, 10) && at < Time(6, 10) ? 1 : 0;
    }
    CHECK(count == expected);
}

TEST_CASE("a place deep inside is reached with the same frames as by reading up to it") {
    const std::string coded = " -c:v libx264 -preset ultrafast -g 25 ";
    const auto plain = clip("deep.mp4", moving("96x64", "30000/1001", "8") + coded + "-bf 3");
    const std::vector<std::filesystem::path> paths = {
        plain,
        clip("deep.mkv", "-i '" + plain.string() + "' -c copy"),
        clip("deep.ts", "-i '" + plain.string() + "' -c copy"),
        clip("deepopen.mp4", moving("96x64", "25", "8") + coded + "-bf 3 -x264-params open-gop=1"),
        clip("deepvfr.mp4", "-i '" + plain.string() +
                                "' -vf \"select='not(mod(n,3))+eq(mod(n,7),1)'\" -vsync vfr" +
                                coded),
        clip("deep.avi", moving("96x64", "25", "6") + " -c:v mpeg4 -g 25 -bf 2"),
    };
    for (const auto& path : paths) {
        INFO(path);
        const std::vector<Frame> all = test::frames_of(path);
        for (const int64_t index : {70, 75, 88, 99}) {
            const auto part = open_video(path, {.from = Position{.time = {}, .frame = index}});
            const Frame first = part->next().value();
            CHECK(first.index == index);
            CHECK(first.time == all[index].time);
            CHECK(first.duration == all[index].duration);
            CHECK(first.pixels.equal(all[index].pixels));
            size_t rest = 0;
            while (part->next()) ++rest;
            CHECK(rest + index + 1 == all.size());
        }
        const Time place = all[90].time - all[0].time;
        CHECK(open_video(path, {.from = Position{.time = place, .frame = {}}})->next()->index ==
              90);
    }
}

TEST_CASE("RGB formats are read exactly") {
    const auto reference =
        clip("exact.png", moving("80x60", "1", "1") + " -frames:v 1 -vf scale=67:45,format=rgb24");
    const torch::Tensor pixels = read_picture(reference);
    REQUIRE(pixels.sizes() == torch::IntArrayRef{3, 45, 67});
    for (const char* format : {"bgr24", "rgba", "bgra", "gbrp", "rgb0", "bgr0", "rgb48le",
                               "rgba64le", "gbrp10le", "gbrp16le"}) {
        const auto path = clip(std::string("exact-") + format + ".nut",
                               "-i '" + reference.string() +
                                   "' -c:v rawvideo -sws_flags accurate_rnd -pix_fmt " + format);
        INFO(format);
        const torch::Tensor read = test::frames_of(path).at(0).pixels;
        const std::string name(format);
        const bool alpha = name.find('a') != std::string::npos;
        REQUIRE(read.size(0) == (alpha ? 4 : 3));
        if (alpha)
            CHECK(read[3].min().item<float>() == 1.0F);
        // 10 and 16 bit codes of ffmpeg are shifted, not stretched: within 1.5 8-bit steps.
        const double limit = name.find('1') == std::string::npos &&
                                     name.find("64") == std::string::npos &&
                                     name.find("48") == std::string::npos
                                 ? 0.0
                                 : 0.006;
        CHECK((read.narrow(0, 0, 3) - pixels).abs().max().item<double>() <= limit);
    }
}

TEST_CASE("luma and chroma formats agree with ffmpeg's own accurate conversion") {
    for (const char* format :
         {"yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuv420p10le", "nv12", "gray"}) {
        for (const char* size : {"160x90", "320x182"}) {
            const std::string name = std::string("as-") + format + "-" + size;
            const auto path =
                clip(name + ".nut", moving("400x300", "25", "0.1") + " -vf scale=" + size +
                                        ",format=" + format + " -c:v rawvideo");
            INFO(name);
            const torch::Tensor expected = first_frame_by_ffmpeg(
                path,
                "scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp:in_h_chr_pos=" +
                    std::string(std::string(format).find("444") == std::string::npos ? "0"
                                                                                     : "-513") +
                    ",format=rgb24");
            const torch::Tensor read = test::frames_of(path).at(0).pixels.clamp(0, 1);
            REQUIRE(read.sizes() == expected.sizes());
            CHECK(test::psnr(read, expected) > 34);
            // No edge is smeared.
            CHECK(test::psnr(read.narrow(2, read.size(2) - 1, 1),
                             expected.narrow(2, expected.size(2) - 1, 1)) > 30);
            CHECK(test::psnr(read.narrow(1, read.size(1) - 1, 1),
                             expected.narrow(1, expected.size(1) - 1, 1)) > 30);
        }
    }
}

TEST_CASE("rotation metadata is applied as ffmpeg does") {
    const auto plain =
        clip("upright.mp4", moving("96x64", "25", "0.2") + " -c:v libx264 -qp 0 -pix_fmt yuv444p");
    for (const char* angle : {"90", "180", "270"}) {
        const auto path =
            clip(std::string("turned") + angle + ".mp4",
                 "-i '" + plain.string() + "' -c copy -metadata:s:v:0 rotate=" + angle);
        const auto source = open_video(path);
        INFO(angle);
        const torch::Tensor expected = first_frame_by_ffmpeg(path, "format=rgb24");
        const torch::Tensor read = source->next().value().pixels.clamp(0, 1);
        CHECK(source->info().width == read.size(2));
        CHECK(source->info().height == read.size(1));
        CHECK(source->info().rotation != 0);
        REQUIRE(read.sizes() == expected.sizes());
        CHECK(test::psnr(read, expected) > 45);
    }
}

TEST_CASE("interlaced pictures become whole ones, frame for frame") {
    // A moving edge, its two fields half a frame apart in time.
    const auto path =
        clip("fields.mp4",
             "-f lavfi -i \"color=black:s=160x96:r=50:d=0.4,geq=lum='255*gt(X,N*6)':cb=128:"
             "cr=128,interlace=scan=tff:lowpass=off\" -c:v libx264 -qp 0"
             " -flags +ilme+ildct -pix_fmt yuv420p");
    const auto source = open_video(path);
    CHECK(source->info().interlaced);
    const std::vector<double> times = test::probed_times(path);
    torch::Tensor last;
    size_t count = 0;
    while (const auto frame = source->next()) {
        REQUIRE(count < times.size());
        CHECK(frame->time.seconds() == Approx(times[count++]).margin(1e-6));
        last = frame->pixels;
    }
    CHECK(count == times.size());
    CHECK(source->warnings().size() == 1);
    // Combing is a difference between rows of alternating sign; whole pictures have little of it.
    const auto combing = [](const torch::Tensor& p) {
        const torch::Tensor even = p.slice(1, 0, 94, 2);
        const torch::Tensor odd = p.slice(1, 1, 95, 2);
        const torch::Tensor next = p.slice(1, 2, 96, 2);
        return ((odd - (even + next) / 2).abs() - (next - even).abs())
            .clamp_min(0)
            .mean()
            .item<double>();
    };
    const auto woven = clip("fields.png", "-i '" + path.string() +
                                              "' -vf setfield=prog,select='eq(n\\,9)' -frames:v 1");
    CHECK(combing(last) < 0.7 * combing(read_picture(woven)));
}

TEST_CASE("inspection names what a file holds") {
    const auto path =
        clip("full.mkv", moving("160x90", "25", "0.4") +
                             " -f lavfi -i sine=d=0.4 -map 0 -map 1 -c:v libx264 -c:a aac"
                             " -pix_fmt yuv420p10le -aspect 2:1 -metadata title=Sea"
                             " -metadata:s:a:0 language=fra");
    const MediaInfo info = inspect_media(path);
    REQUIRE(info.video);
    CHECK(info.video->width == 160);
    CHECK(info.video->height == 90);
    CHECK(info.video->codec == "h264");
    CHECK(info.video->pixel_format == "yuv420p10le");
    CHECK(info.video->bit_depth == 10);
    CHECK(info.video->sar == Rational(9, 8));
    CHECK(info.video->frame_rate == Rational(25));
    CHECK(info.video->frames == 10);
    CHECK(info.duration.seconds() == Approx(0.4).margin(0.05));
    CHECK(info.tags.at("title") == "Sea");
    REQUIRE(info.others.size() == 1);
    CHECK(info.others[0].codec == "aac");
    CHECK(info.others[0].language == "fra");
    CHECK(info.others[0].sample_rate == 44100);

    const auto sound = clip("sound.m4a", "-f lavfi -i sine=d=0.3 -c:a aac");
    CHECK_FALSE(inspect_media(sound).video.has_value());
}

}  // namespace weft
