// What goes in comes out: one table of clips, each copied by the edit of strength 0 and compared as
// ffprobe sees both files.
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>

#include "tests/io/media/clips.h"
#include "tests/io/media/probe.h"

namespace weft {
namespace {

namespace fs = std::filesystem;
using test::clip;
using test::moving;

using test::Fields;
using test::picture_of;
using test::Probe;
using test::probe;
using test::quoted;
using test::sections;
using test::times_of;
using test::value;

/// Every stream beside the picture: what it is, and the digests of its packets in order.
std::vector<std::string> others_of(const Probe& probe) {
    const std::string picture = value(picture_of(probe), "index");
    std::vector<std::string> list;
    for (const Fields& stream : sections(probe, "stream")) {
        const std::string index = value(stream, "index");
        if (index == picture || value(stream, "codec_tag_string") == "tmcd")
            continue;
        const std::string language = value(stream, "tag:language");
        std::string text = value(stream, "codec_type") + " " + value(stream, "codec_name") + " " +
                           (language == "und" ? std::string() : language) +
                           value(stream, "tag:title") + value(stream, "tag:filename");
        for (const char* kind : {"default", "forced", "hearing_impaired", "attached_pic", "dub"})
            text += value(stream, c10::str("disposition:", kind));
        for (const Fields& packet : sections(probe, "packet")) {
            if (value(packet, "stream_index") == index)
                text += c10::str(" ", value(packet, "data_hash").substr(4, 8));
        }
        list.push_back(text);
    }
    return list;
}

/// The clip's own tags, without what describes the file it lies in.
Fields tags_of(const Probe& probe) {
    Fields tags;
    const auto formats = sections(probe, "format");
    for (const auto& [key, text] : formats.empty() ? Fields() : formats.front()) {
        const bool stale = key.find("brand") != std::string::npos || key == "tag:minor_version" ||
                           key == "tag:encoder" || key == "tag:ENCODER";
        if (key.rfind("tag:", 0) == 0 && !stale)
            tags[key] = text;
    }
    return tags;
}

std::vector<std::string> chapters_of(const Probe& probe) {
    std::vector<std::string> list;
    for (const Fields& chapter : sections(probe, "chapter"))
        list.push_back(value(chapter, "start_time") + "-" + value(chapter, "end_time") + " " +
                       value(chapter, "tag:title"));
    return list;
}

struct Row {
    std::string in;         // file name of the input
    std::string arguments;  // that make it
    std::string out;        // ending of the output
    WriteOptions options = {};
    std::string format = {};   // pixel format of the output, empty: not looked at
    double tick_s = 1e-6;      // of the output's clock
    double least_db = 45;      // of the pixels
    std::string warning = {};  // part of the one warning; empty: there is none
};

const std::string fast = " -c:v libx264 -preset ultrafast -threads 1 ";
const std::string exact = " -c:v ffv1 -threads 1 ";

fs::path plain_clip() {
    return clip("f-plain.mp4",
                moving("96x64", "30000/1001", "0.6") + " -f lavfi -i sine=440:d=0.6 -c:a aac" +
                    " -c:v libx264 -bf 3 -g 6 -preset veryfast -threads 1 -pix_fmt yuv420p");
}

std::vector<Row> timing_rows() {
    const std::string plain = c10::str("-i ", quoted(plain_clip()));
    const std::string some = " -vf \"select='not(mod(n,3))+eq(mod(n,7),1)'\" -vsync vfr ";
    const WriteOptions good{.crf = 1};
    return {
        {"t-cfr.mp4", plain + " -c copy", "mp4", good},
        {"t-ntsc.mov", plain + " -c copy", "mov", good},
        {"t-vfr.mp4", plain + some + fast + "-bf 2 -c:a copy", "mp4", good},
        {"t-vfr2.mp4", plain + some + fast + "-c:a copy", "mkv", good, {}, 0.0011},
        {"t-pause.mkv",
         plain + R"( -vf "setpts=PTS+gt(N\,5)*0.7/TB" -vsync vfr)" + fast,
         "mkv",
         good,
         {},
         0.0011},
        {"t-late.mov", c10::str("-itsoffset 0.7 ", plain, " -c copy"), "mov", good},
        {"t-offset.ts", plain + " -c copy -an", "mp4", good, {}, 1.2e-5},
        {"t-wrap.ts", plain + " -c copy -an -output_ts_offset 95443.4", "mp4", good, {}, 2e-5},
        {"t-edits.mp4", c10::str("-ss 0.25 ", plain, " -c copy"), "mp4", good, {}, 1e-6},
        {"t-slow.mp4", moving("96x64", "1/2", "8") + fast, "mp4", good},
        {"t-fast.mp4", moving("96x64", "240", "0.1") + fast, "mp4", good},
        {"t-single.mp4", moving("96x64", "25", "0.04") + fast, "mp4", good},
        {"t-counted.avi", moving("96x64", "25", "0.4") + " -c:v mpeg4 -q:v 2", "avi", good},
        {"t-anim.gif", moving("96x64", "10", "0.5"), "gif", {}, {}, 0.0101, 24},
    };
}

std::vector<Row> geometry_rows() {
    const std::string turn =
        c10::str("-i ", quoted(plain_clip()), " -c copy -metadata:s:v:0 rotate=");
    const std::string odd = moving("96x64", "25", "0.2") + " -vf scale=67:45 ";
    const WriteOptions good{.crf = 1};
    const WriteOptions same{.codec = "ffv1"};
    return {
        {"g-odd.mkv", odd + exact + "-pix_fmt yuv420p", "mp4", good, "yuv444p", 1.1e-3, 45,
         "4:4:4"},
        {"g-odd2.mkv", odd + exact + "-pix_fmt yuv420p", "mkv", same, "yuv420p", 1.1e-3, 100},
        {"g-turn90.mp4", turn + "90", "mp4", good},
        {"g-turn270.mp4", turn + "270", "mkv", good, {}, 0.0011},
        // Chroma between the samples of the pattern's saturated edges leaves the code range.
        {"g-turn90x.mp4", turn + "90", "mkv", same, "yuv444p", 0.0011, 42},
        {"g-turn270x.mp4", turn + "270", "mkv", same, "yuv444p", 0.0011, 42},
        {"g-turn180x.mp4", turn + "180", "mkv", same, "yuv444p", 0.0011, 42},
        {"g-turn90h.mp4", turn + "90", "mp4", {.codec = "h265", .crf = 1}},
        {"g-wide.mp4", moving("96x64", "25", "0.2") + fast + "-aspect 3:1", "mp4", good},
        {"g-wide.mkv",
         moving("96x64", "25", "0.2") + fast + "-aspect 3:1",
         "mkv",
         good,
         {},
         1.1e-3},
    };
}

std::vector<Row> alpha_rows() {
    const std::string veil =
        moving("64x48", "25", "0.12") + " -vf format=rgba,geq=r='r(X\\,Y)':a='X*4' ";
    return {
        {"a-prores.mov",
         veil + "-c:v prores_ks -pix_fmt yuva444p10le",
         "mov",
         {.codec = "prores"},
         "yuva444p12le"},
        {"a-qtrle.mov", veil + "-c:v qtrle", "mov", {.codec = "prores"}, "yuva444p12le", 1e-6, 35},
        {"a-qtrle2.mov", veil + "-c:v qtrle", "mkv", {.codec = "ffv1"}, "bgra", 0.0011, 100},
        {"a-vp9.webm",
         veil + "-c:v libvpx-vp9 -pix_fmt yuva420p -cpu-used 8",
         "webm",
         {.crf = 0},
         {},
         0.0011,
         40},
        {"a-png.mov",
         veil + "-c:v png -pix_fmt rgba64be",
         "mov",
         {.codec = "png"},
         "rgba64be",
         1e-6,
         100},
        {"a-ffv1.mkv",
         veil + "-c:v ffv1 -pix_fmt yuva420p10le",
         "mkv",
         {.codec = "ffv1"},
         "yuva420p10le",
         0.0011,
         100},
        {"a-lost.mov", veil + "-c:v qtrle", "mp4", {.crf = 1}, "yuv420p", 1e-6, 0, "transparency"},
    };
}

/// What a clip is written as, and what must come of it.
struct Written {
    WriteOptions options;
    std::string ending;
    std::string format;
    double least_db;
};

Row colour_row(const std::string& format, const std::string& tags, const Written& written) {
    const auto& [options, out, after, least_db] = written;
    std::string name = c10::str("c-", format, "-", options.codec, "-");
    for (const char c : tags) name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
    return {
        name + ".mkv", moving("96x64", "25", "0.12") + exact + "-pix_fmt " + format + " " + tags,
        out,           options,
        after,         out == "mkv" ? 0.0011 : 1e-3,
        least_db};
}

std::vector<Row> colour_rows() {
    const auto tags = [](const std::string& matrix, const std::string& primaries,
                         const std::string& transfer, const std::string& range) {
        return c10::str("-colorspace ", matrix, " -color_primaries ", primaries, " -color_trc ",
                        transfer, " -color_range ", range);
    };
    const std::string hd = tags("bt709", "bt709", "bt709", "tv");
    const std::string sd = tags("smpte170m", "smpte170m", "smpte170m", "tv");
    const std::string pal = tags("bt470bg", "bt470bg", "smpte170m", "pc");
    const std::string uhd = tags("bt2020nc", "bt2020", "bt2020-10", "tv");
    const std::string pq = tags("bt2020nc", "bt2020", "smpte2084", "tv");
    const WriteOptions same{.codec = "ffv1"};
    const double lossless = 100;
    std::vector<Row> rows;
    for (const std::string& tag : {hd, sd, pal, std::string()})
        rows.push_back(colour_row("yuv420p", tag, {same, "mkv", "yuv420p", lossless}));
    rows.push_back(colour_row("yuv422p10le", uhd, {same, "mkv", "yuv422p10le", lossless}));
    rows.push_back(colour_row("yuv420p10le", pq, {same, "mkv", "yuv420p10le", lossless}));
    rows.push_back(colour_row("yuv444p12le", uhd, {same, "mkv", "yuv444p12le", lossless}));
    rows.push_back(colour_row("yuv420p16le", hd, {same, "mkv", "yuv420p16le", lossless}));
    rows.push_back(colour_row("gbrp10le", "", {same, "mkv", "gbrp10le", lossless}));
    rows.push_back(colour_row("gbrp16le", "", {same, "mkv", "gbrp16le", lossless}));
    rows.push_back(colour_row("bgr0", "", {same, "mkv", "bgr0", lossless}));
    rows.push_back(colour_row("gray", "", {same, "mkv", "yuv444p", lossless}));
    rows.push_back(
        colour_row("yuv420p10le", pq, {{.codec = "h265", .crf = 2}, "mp4", "yuv420p10le", 45}));
    rows.push_back(
        colour_row("yuv444p12le", uhd, {{.codec = "h265", .crf = 2}, "mp4", "yuv420p12le", 30}));
    rows.push_back(colour_row("yuv422p10le", hd, {{.codec = "prores"}, "mov", "yuv422p10le", 34}));
    rows.push_back(
        colour_row("yuv444p10le", hd, {{.codec = "prores4444"}, "mov", "yuv444p12le", 37}));
    rows.push_back(colour_row("yuv420p", hd, {{.codec = "av1", .crf = 5}, "mp4", "yuv420p", 38}));
    rows.push_back(colour_row("yuv420p", sd, {{.codec = "raw"}, "mkv", "yuv420p", lossless}));
    return rows;
}

/// A file with everything beside the picture that Matroska holds.
std::string rich_arguments() {
    const fs::path words = test::scratch() / "f-words.srt";
    const fs::path marks = test::scratch() / "f-marks.txt";
    std::ofstream(words) << "1\n00:00:00,100 --> 00:00:00,500\nHello\n";
    std::ofstream(marks) << ";FFMETADATA1\ntitle=Sea\nartist=Me\n"
                            "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=300\ntitle=One\n"
                            "[CHAPTER]\nTIMEBASE=1/1000\nSTART=300\nEND=600\ntitle=Two\n";
    return c10::str("-i ", quoted(plain_clip()), " -f lavfi -i sine=880:d=0.6 -i ", quoted(words),
                    " -i ", quoted(marks),
                    " -map 0:v -map 0:a -map 1:a -map 2 -map_metadata 3 -map_chapters 3 -c copy"
                    " -c:a:1 flac -metadata:s:a:0 language=fra -metadata:s:a:1 language=eng"
                    " -metadata:s:s:0 language=deu -disposition:a:1 dub -disposition:s:0"
                    " forced+hearing_impaired -metadata creation_time=2020-01-02T03:04:05Z");
}

std::vector<Row> side_rows() {
    const WriteOptions good{.crf = 1};
    const fs::path cover = clip("f-cover.png", moving("32x32", "1", "1") + " -frames:v 1");
    const std::string plain = c10::str("-i ", quoted(plain_clip()));
    const std::string attached =
        c10::str(" -attach ", quoted(cover),
                 " -metadata:s:t mimetype=image/png -metadata:s:t filename=cover.png");
    const std::string covered = c10::str(" -i ", quoted(cover), " -map 0 -map 1 -c copy");
    return {
        {"s-rich.mkv", rich_arguments() + attached, "mkv", good, {}, 0.0011},
        {"s-tags.mp4",
         plain + " -c copy -metadata title=Sea -metadata creation_time=2020-01-02T03:04:05Z"
                 " -metadata:s:a:0 language=fra",
         "mp4", good},
        {"s-cover.mp4", plain + covered + " -disposition:v:1 attached_pic", "mp4", good},
        {"s-timecode.mov", plain + " -c copy -timecode 01:00:00:00", "mov", good},
        {"s-pcm.mov", plain + " -c:v copy -c:a pcm_s24le", "mov", good},
        {"s-text.mp4", rich_arguments() + " -c:s mov_text -c:a:1 aac", "mp4", good},
    };
}

/// A range that is not told is the limited one.
std::string meaning(const std::string& tag) {
    return tag == "tv" ? "unknown" : tag;
}

void check_picture(const Row& row, const Probe& before, const Probe& after) {
    const Fields in = picture_of(before);
    const Fields out = picture_of(after);
    const bool turned =
        row.in.find("turn") != std::string::npos && row.in.find("turn180") == std::string::npos;
    // A gif has no tags; a turned picture of another shape gets the tags players guessed before.
    const bool untagged = row.out == "gif" || turned;
    for (const char* key : {"color_space", "color_primaries", "color_transfer", "color_range"}) {
        const bool recoded =
            row.in.rfind("a-", 0) == 0 || value(in, "pix_fmt") == "gray" || untagged;
        INFO(key);
        if (!recoded)
            CHECK(meaning(value(out, key)) == meaning(value(in, key)));
    }
    CHECK(value(out, turned ? "height" : "width") == value(in, "width"));
    CHECK(value(out, turned ? "width" : "height") == value(in, "height"));
    const auto square = [](const std::string& sar) { return sar == "N/A" ? "1:1" : sar; };
    CHECK(square(value(out, "sample_aspect_ratio")) == square(value(in, "sample_aspect_ratio")));
    if (!row.format.empty())
        CHECK(value(out, "pix_fmt") == row.format);
    CHECK(value(out, "tag:timecode") == value(in, "tag:timecode"));
}

void check_times(const Row& row, const Probe& before, const Probe& after) {
    const std::vector<double> in = times_of(before);
    const std::vector<double> out = times_of(after);
    REQUIRE(in.size() == out.size());
    REQUIRE_FALSE(in.empty());
    double worst = 0;
    for (size_t i = 0; i < in.size(); ++i) worst = std::max(worst, std::abs(in[i] - out[i]));
    CHECK(worst <= row.tick_s);
}

void check_pixels(const Row& row, const fs::path& in, const fs::path& out) {
    const auto before = test::frames_of(in);
    const auto after = test::frames_of(out);
    REQUIRE(before.size() == after.size());
    double worst = 200;
    for (size_t i = 0; i < before.size(); ++i) {
        const bool both = before[i].pixels.size(0) == after[i].pixels.size(0);
        const int64_t channels = both ? before[i].pixels.size(0) : 3;
        worst = std::min(worst, test::psnr(before[i].pixels.narrow(0, 0, channels),
                                           after[i].pixels.narrow(0, 0, channels)));
        CHECK(std::abs((before[i].duration - after[i].duration).seconds()) <=
              2 * row.tick_s + 1e-4);
    }
    CHECK(worst >= row.least_db);
}

void check_row(const Row& row) {
    INFO(row.in << " -> " << row.out);
    const fs::path in = clip(row.in, row.arguments);
    const fs::path out = test::scratch() / c10::str(row.in, ".out.", row.out);
    const test::Told told = test::copy_clip(in, out, row.options);
    INFO((told.writer.empty() ? std::string() : told.writer.front()));
    REQUIRE(told.writer.size() == (row.warning.empty() ? 0 : 1));
    if (!row.warning.empty())
        CHECK_THAT(told.writer.front(), Catch::Contains(row.warning));
    const Probe before = probe(in);
    const Probe after = probe(out);
    check_picture(row, before, after);
    check_times(row, before, after);
    check_pixels(row, in, out);
    CHECK_THAT(others_of(after), Catch::Equals(others_of(before)));
    CHECK(chapters_of(after) == chapters_of(before));
    if (in.extension() == out.extension())
        CHECK(tags_of(after) == tags_of(before));
}

}  // namespace

TEST_CASE("times come out as they went in", "[fidelity]") {
    for (const Row& row : timing_rows()) check_row(row);
}

TEST_CASE("sizes, aspects and rotations come out as they went in", "[fidelity]") {
    for (const Row& row : geometry_rows()) check_row(row);
}

TEST_CASE("transparency comes out as it went in", "[fidelity]") {
    for (const Row& row : alpha_rows()) check_row(row);
}

TEST_CASE("colour tags, depths and code values come out as they went in", "[fidelity]") {
    for (const Row& row : colour_rows()) check_row(row);
}

TEST_CASE("mastering and light level data of HDR clips are kept", "[fidelity]") {
    const fs::path in =
        clip("f-hdr.mkv",
             moving("64x48", "25", "0.2") +
                 " -c:v libx265 -pix_fmt yuv420p10le -x265-params 'log-level=none:colorprim=bt2020"
                 ":transfer=smpte2084:colormatrix=bt2020nc:max-cll=1000,400:master-display="
                 "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)'");
    for (const std::string out : {"f-hdr-out.mkv", "f-hdr-out.mp4"}) {
        test::copy_clip(in, test::scratch() / out, {.codec = "h265"});
        const Fields picture = picture_of(probe(test::scratch() / out));
        CHECK(value(picture, "max_content") == "1000");
        CHECK_FALSE(value(picture, "max_luminance").empty());
        CHECK(value(picture, "color_transfer") == "smpte2084");
        CHECK(value(picture, "pix_fmt") == "yuv420p10le");
    }
}

TEST_CASE("what lies beside the picture comes out as it went in", "[fidelity]") {
    for (const Row& row : side_rows()) check_row(row);
}

}  // namespace weft
