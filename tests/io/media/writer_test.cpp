#include "io/media/writer.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "io/files/error.h"
#include "io/media/inspect.h"
#include "io/media/reader.h"
#include "tests/io/media/clips.h"

namespace weft {
namespace {

namespace fs = std::filesystem;
using test::clip;
using test::moving;

/// Copies a clip; returns the writer's warnings.
std::vector<std::string> copy_clip(const fs::path& in, const fs::path& out,
                                   const WriteOptions& options, const ReadOptions& part = {}) {
    return test::copy_clip(in, out, options, part).writer;
}

const std::string sound = " -f lavfi -i sine=440:r=44100:d=1 -c:a aac ";

fs::path cfr_clip() {
    return clip("wcfr.mp4", moving("160x90", "30000/1001", "1") + sound +
                                "-c:v libx264 -bf 3 -preset veryfast -pix_fmt yuv420p"
                                " -metadata title=Sea -metadata creation_time=2020-01-02T03:04:05Z"
                                " -metadata:s:a:0 language=fra");
}

fs::path pcm_clip() {
    return clip("wpcm.avi",
                moving("160x90", "25", "1") + sound + "-c:a pcm_s16le -c:v mpeg4 -bf 0 -q:v 2");
}

fs::path vfr_clip() {
    return clip("wvfr.mp4", "-i '" + cfr_clip().string() +
                                "' -vf \"select='not(mod(n,3))+eq(mod(n,7),1)'\" -vsync vfr"
                                " -c:v libx264 -bf 3 -c:a copy");
}

/// Endings of containers that hold one picture stream and nothing else.
const std::array<const char*, 2> pictures_only{"sound.gif", "sound.y4m"};

struct Copy {
    fs::path in;
    std::string out;
    double tick;  // of the output's clock, in seconds
};

std::vector<Copy> copies() {
    const fs::path cfr = cfr_clip();
    const std::string from_cfr = "-i '" + cfr.string() + "' -c copy";
    const fs::path ts = clip("woffset.ts", from_cfr);
    const fs::path avi = clip(
        "wpcm.avi", moving("160x90", "25", "1") + sound + "-c:a pcm_s16le -c:v mpeg4 -bf 0 -q:v 2");
    return {
        {cfr, "c1.mp4", 0},
        {cfr, "c2.mov", 0},
        {cfr, "c3.mkv", 0.001},
        {vfr_clip(), "c4.mp4", 0},
        {ts, "c5.mp4", 1.2e-5},
        {clip("wcfr.mkv", from_cfr), "c6.mp4", 0},
        {avi, "c7.avi", 0},
        {clip("wlate.mov", "-itsoffset 0.7 " + from_cfr), "c8.mov", 0},
        {vfr_clip(), "c9.mkv", 0.001},
    };
}

void check_times(const fs::path& in, const fs::path& out, double tick) {
    const std::vector<Frame> before = test::frames_of(in);
    const std::vector<Frame> after = test::frames_of(out);
    REQUIRE(after.size() == before.size());
    for (size_t i = 0; i < after.size(); ++i) {
        CHECK(std::abs(after[i].time.seconds() - before[i].time.seconds()) <= tick);
        CHECK(std::abs(after[i].duration.seconds() - before[i].duration.seconds()) <=
              2 * tick + 1e-4);
        CHECK(test::psnr(after[i].pixels, before[i].pixels) >= 40);
    }
}

}  // namespace

TEST_CASE("an unedited copy keeps frames, times, sound and tags") {
    for (const Copy& copy : copies()) {
        const fs::path out = test::scratch() / copy.out;
        INFO(copy.in << " -> " << out);
        const auto warnings = copy_clip(copy.in, out, {.crf = 1});
        CHECK(warnings.empty());
        check_times(copy.in, out, copy.tick);
        // mpeg-ts wraps AAC in ADTS headers, which leave with the container.
        if (copy.in.extension() != ".ts")
            CHECK(test::packet_digest(out) == test::packet_digest(copy.in));
        CHECK_FALSE(test::packet_digest(out).empty());
        const MediaInfo before = inspect_media(copy.in);
        const MediaInfo after = inspect_media(out);
        CHECK(after.tags.count("title") == before.tags.count("title"));
        CHECK(after.video->sar == before.video->sar);
        CHECK(after.video->color == before.video->color);
        if (copy.in.extension() == ".mp4" && copy.in.extension() == out.extension()) {
            CHECK(after.others.at(0).language == before.others.at(0).language);
            CHECK(after.tags.count("creation_time") == before.tags.count("creation_time"));
            const Frame last = test::frames_of(copy.in).back();
            CHECK((after.video->start + after.video->duration).seconds() ==
                  Approx((last.time + last.duration).seconds()).margin(1e-4));
        }
    }
    CHECK(test::files_with("weft-part").empty());
}

TEST_CASE("ffv1 gives back exactly what was put in") {
    for (const auto& [name, format] :
         {std::pair("exact8", "yuv420p"), std::pair("exact10", "yuv420p10le")}) {
        const auto in =
            clip(std::string(name) + ".mkv",
                 moving("96x64", "25", "0.2") + " -vf scale=67:45 -c:v ffv1 -pix_fmt " + format);
        const auto out = test::scratch() / (std::string(name) + "-out.mkv");
        copy_clip(in, out, {.codec = "ffv1"});
        const auto before = test::frames_of(in);
        const auto after = test::frames_of(out);
        REQUIRE(after.size() == before.size());
        for (size_t i = 0; i < after.size(); ++i) {
            INFO(format << ", frame " << i << ", apart by "
                        << (after[i].pixels - before[i].pixels).abs().max().item<double>());
            CHECK(after[i].pixels.equal(before[i].pixels));
        }
    }
}

TEST_CASE("unedited generations give back the same code values") {
    for (const char* format : {"yuv420p", "yuvj420p"}) {
        const std::string name = std::string("gen-") + format;
        const auto in =
            clip(name + "0.mkv", moving("96x64", "25", "0.1") + " -c:v ffv1 -pix_fmt " + format);
        const auto last = test::scratch() / (name + "3.mp4");
        const auto next = [&](int i) {
            return test::scratch() / (name + std::to_string(i) + ".mp4");
        };
        copy_clip(in, next(1), {.crf = 0});
        copy_clip(next(1), next(2), {.crf = 0});
        copy_clip(next(2), last, {.crf = 0});
        INFO(format);
        CHECK(test::output_of("ffmpeg -v error -i '" + last.string() + "' -f md5 -pix_fmt " +
                              format + " -") ==
              test::output_of("ffmpeg -v error -i '" + in.string() + "' -f md5 -pix_fmt " + format +
                              " -"));
    }
    // x264 has no lossless scale in ten bits: a code apart at most.
    const auto deep =
        clip("gen-deep.mkv", moving("96x64", "25", "0.1") + " -c:v ffv1 -pix_fmt yuv420p10le");
    copy_clip(deep, test::scratch() / "gen-deep.mp4", {.crf = 0});
    CHECK(test::psnr(test::frames_of(test::scratch() / "gen-deep.mp4").at(1).pixels,
                     test::frames_of(deep).at(1).pixels) > 52);
}

TEST_CASE("every codec of the table writes odd sizes, ten bits and alpha as promised") {
    const auto names = available_codecs();
    CHECK(std::find(names.begin(), names.end(), "h264") != names.end());
    for (const std::string& codec : names) {
        if (codec == "gif" || codec == "raw")
            continue;  // neither alpha nor ten bits of RGB
        INFO(codec);
        const auto out = test::scratch() / ("odd-" + codec + (codec == "png" ? ".mov" : ".mkv"));
        StreamInfo info;
        info.width = 67;
        info.height = 45;
        info.frame_rate = Rational(25);
        info.bit_depth = 10;
        info.has_alpha = true;
        const auto sink = create_video(out, info, {.codec = codec});
        const torch::Tensor ramp = torch::linspace(0.1, 0.9, 67).expand({4, 45, 67}).clone();
        for (int64_t i = 0; i < 4; ++i)
            sink->put({.pixels = ramp,
                       .index = i,
                       .time = Time(i, 25),
                       .duration = Time(1, 25),
                       .color = {}});
        sink->finish();
        const auto frames = test::frames_of(out);
        REQUIRE(frames.size() == 4);
        const auto source = open_video(out);
        CHECK(source->info().width == 67);
        CHECK(source->info().height == 45);
        const bool deep = codec != "vp9";  // its alpha is 8 bit
        const bool without = codec == "h264" || codec == "h265" || codec == "av1";
        CHECK((source->info().bit_depth >= 10) == deep);
        CHECK(test::psnr(frames[3].pixels.narrow(0, 0, 3), ramp.narrow(0, 0, 3)) > 33);
        const auto warnings = sink->warnings();
        const bool lost = std::any_of(
            warnings.begin(), warnings.end(),
            [](const std::string& text) { return text.find("transparency") != std::string::npos; });
        CHECK(lost == without);
        CHECK((frames[0].pixels.size(0) == 4) == !without);
        if (!without)
            CHECK(test::psnr(frames[0].pixels[3], ramp[3]) > 40);
    }
}

TEST_CASE("a part starts at zero with its sound in place") {
    const auto in = cfr_clip();
    const auto out = test::scratch() / "part.mp4";
    copy_clip(in, out, {.crf = 1, .end = WriteOptions::End::last_frame},
              {.from = Position{.time = {}, .frame = 10}, .to = Position{.time = {}, .frame = 20}});
    const auto frames = test::frames_of(out);
    REQUIRE(frames.size() == 10);
    CHECK(frames[0].time == Time());
    const MediaInfo info = inspect_media(out);
    CHECK(info.duration.seconds() == Approx(10 * 1001 / 30000.0).margin(0.03));
    // The first packet at or after the first frame keeps its distance from it.
    const auto first = [](const fs::path& path, double from) {
        for (const auto& line : test::output_of(
                 "ffprobe -v error -select_streams a -show_entries packet=pts_time -of csv=p=0 '" +
                 path.string() + "'"))
            if (std::stod(line) >= from)
                return std::stod(line) - from;
        return -1.0;
    };
    CHECK(first(out, 0) == Approx(first(in, 10 * 1001 / 30000.0)).margin(0.0002));
}

TEST_CASE("subtitles, chapters, covers and attachments travel where the container has them") {
    const fs::path words = test::scratch() / "words.srt";
    const fs::path marks = test::scratch() / "marks.txt";
    test::output_of(R"(printf '1\n00:00:00,100 --> 00:00:00,600\nHello\n' > ')" + words.string() +
                    "'");
    test::output_of(
        "printf ';FFMETADATA1\\n[CHAPTER]\\nTIMEBASE=1/1000\\nSTART=0\\nEND=500\\ntitle=One\\n"
        "[CHAPTER]\\nTIMEBASE=1/1000\\nSTART=500\\nEND=1000\\ntitle=Two\\n' > '" +
        marks.string() + "'");
    const auto in =
        clip("rich.mkv", "-i '" + cfr_clip().string() + "' -i '" + words.string() + "' -i '" +
                             marks.string() + "' -map 0 -map 1 -map_chapters 2 -c copy -attach '" +
                             words.string() + "' -metadata:s:t mimetype=text/plain");
    const auto out = test::scratch() / "rich-out.mkv";
    CHECK(copy_clip(in, out, {}).empty());
    const MediaInfo info = inspect_media(out);
    CHECK(info.chapters == 2);
    REQUIRE(info.others.size() == 3);
    CHECK(info.others[0].kind == "audio");
    CHECK(info.others[1].kind == "subtitle");
    CHECK(info.others[2].kind == "attachment");
    const auto mp4 = test::scratch() / "rich-out.mp4";
    const auto warnings = copy_clip(in, mp4, {});
    CHECK(warnings.size() == 2);
    CHECK(inspect_media(mp4).chapters == 2);
    CHECK(inspect_media(mp4).others.size() == 2);  // sound, and the track mp4 keeps chapters in
}

TEST_CASE("the target is refused where writing would destroy something") {
    const auto in = cfr_clip();
    const auto source = open_video(in);
    const fs::path link = test::scratch() / "link.mp4";
    const fs::path hard = test::scratch() / "hard.mp4";
    fs::create_symlink(in, link);
    fs::create_hard_link(in, hard);
    const auto size = fs::file_size(in);
    for (const fs::path& target : {in, link, hard, in.parent_path() / "." / in.filename()})
        CHECK_THROWS_WITH(
            create_video(target, source->info(), {.side_source = in, .overwrite = true}),
            Catch::Contains("is the input itself"));
    CHECK(fs::file_size(in) == size);
    const auto other = clip("other.mp4", moving("64x64", "25", "0.1"));
    CHECK_THROWS_WITH(create_video(other, source->info(), {}), Catch::Contains("exists already"));
    CHECK_THROWS_WITH(create_video("/nowhere/x.mp4", source->info(), {}),
                      Catch::Contains("folder does not exist"));
    CHECK_THROWS_WITH(create_video(test::scratch() / "refused.txt", source->info(), {}),
                      Catch::Contains("no video container"));
    CHECK_THROWS_WITH(
        create_video(test::scratch() / "refused.webm", source->info(), {.codec = "h264"}),
        Catch::Contains("cannot hold h264"));
    CHECK_THROWS_AS(
        create_video(test::scratch() / "refused.mp4", source->info(), {.codec = "h267"}),
        UsageError);
    CHECK_THROWS_AS(create_video(test::scratch() / "refused.mp4", source->info(), {.crf = 99}),
                    UsageError);
    CHECK(test::files_with("weft-part").empty());
    CHECK(test::files_with("refused.").empty());
}

TEST_CASE("sound a container cannot hold is encoded anew, as long as it was") {
    const auto in = pcm_clip();
    const auto out = test::scratch() / "recoded.mp4";
    const auto warnings = copy_clip(in, out, {});
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], Catch::Contains("pcm_s16le") && Catch::Contains("aac"));
    const auto samples = [](const fs::path& path) {
        return std::stoll(test::output_of("ffmpeg -nostdin -v error -i '" + path.string() +
                                          "' -map 0:a -f s16le - | wc -c")
                              .at(0)) /
               2;
    };
    CHECK(std::abs(samples(out) - samples(in)) <= 1024);
}

TEST_CASE("two runs do not write one output at once") {
    const auto source = open_video(cfr_clip());
    const auto out = test::scratch() / "twice.mp4";
    const auto sink = create_video(out, source->info(), {});
    CHECK_THROWS_WITH(create_video(out, source->info(), {}), Catch::Contains("another run"));
    sink->put(source->next().value());
    sink->finish();
    CHECK(fs::exists(out));
}

TEST_CASE("a variable rate is refused where the container counts frames") {
    const auto out = test::scratch() / "vfr.avi";
    CHECK_THROWS_WITH(copy_clip(vfr_clip(), out, {}), Catch::Contains("variable frame rate"));
    CHECK_FALSE(fs::exists(out));
}

TEST_CASE("an abandoned output leaves nothing") {
    const auto source = open_video(cfr_clip());
    const auto out = test::scratch() / "abandoned.mp4";
    {
        const auto sink = create_video(out, source->info(), {});
        sink->put(source->next().value());
        CHECK(test::files_with("abandoned").size() == 1);
    }
    CHECK(test::files_with("abandoned").empty());
}

TEST_CASE("containers of pictures alone leave the sound out and say so") {
    for (const char* name : pictures_only) {
        INFO(name);
        const auto warnings = copy_clip(cfr_clip(), test::scratch() / name,
                                        {.side_source = cfr_clip(), .overwrite = true});
        REQUIRE(warnings.size() == 1);
        CHECK_THAT(warnings.front(), Catch::Contains("audio") && Catch::Contains("left out"));
    }
}

}  // namespace weft
