#include "io/media/color.h"

#include <catch2/catch.hpp>

#include "io/media/reader.h"
#include "io/media/writer.h"
#include "tests/io/media/clips.h"

namespace weft {
namespace {

/// Mean R, G, B in 0..255 of the first frame.
std::vector<double> mean_rgb(const std::filesystem::path& path) {
    const auto source = open_video(path);
    const Frame frame = source->next().value();
    const torch::Tensor mean = frame.pixels.narrow(0, 0, 3).mean({1, 2}).mul(255);
    return {mean[0].item<double>(), mean[1].item<double>(), mean[2].item<double>()};
}

/// A clip of one luma-chroma value, tagged as given.
std::filesystem::path tagged(const std::string& name, const std::string& yuv,
                             const std::string& tags) {
    return test::clip(name, "-f lavfi -i color=black:s=64x48:d=0.2,format=yuv420p,geq=" + yuv +
                                " -c:v ffv1 " + tags);
}

}  // namespace

TEST_CASE("unspecified tags are filled as players do") {
    CHECK(resolved({}, 1920, 1080).matrix == 1);
    CHECK(resolved({}, 1280, 534).matrix == 1);
    CHECK(resolved({}, 640, 480).matrix == 6);
    CHECK(resolved({}, 640, 480).primaries == 6);
    CHECK(resolved({}, 720, 576).primaries == 5);
    CHECK(resolved({}, 64, 64).range == ColorRange::limited);
    CHECK(resolved({}, 64, 64).chroma == ChromaLocation::left);
    const ColorTag hdr{.matrix = 9, .primaries = 9, .transfer = 16, .range = ColorRange::full};
    CHECK(resolved(hdr, 640, 480).matrix == 9);
    CHECK(resolved(hdr, 640, 480).range == ColorRange::full);
    CHECK(is_hdr(hdr));
    CHECK_FALSE(is_hdr({}));
}

TEST_CASE("names are ffmpeg's") {
    CHECK(to_string(ColorTag{.matrix = 1,
                             .primaries = 9,
                             .transfer = 16,
                             .range = ColorRange::limited,
                             .chroma = ChromaLocation::left}) ==
          "bt709 / bt2020 / smpte2084 / tv / left");
}

TEST_CASE("the matrix and range of the tags give the colours their standards say") {
    // Y'CbCr of red in 8-bit limited BT.709 and BT.601; BT.601 full range (JFIF).
    const auto red709 =
        mean_rgb(tagged("red709.mkv", "63:102:240", "-colorspace bt709 -color_range tv"));
    CHECK(red709[0] == Approx(255).margin(1.2));
    CHECK(red709[1] == Approx(0).margin(1.2));
    CHECK(red709[2] == Approx(0).margin(1.2));
    const auto red601 =
        mean_rgb(tagged("red601.mkv", "81:90:240", "-colorspace smpte170m -color_range tv"));
    CHECK(red601[0] == Approx(255).margin(1.2));
    CHECK(red601[1] == Approx(0).margin(1.2));
    const auto full =
        mean_rgb(tagged("redfull.mkv", "76:85:255", "-colorspace bt470bg -color_range pc"));
    CHECK(full[0] == Approx(255).margin(1.2));
    CHECK(full[1] == Approx(0).margin(1.2));
    const auto grey = mean_rgb(tagged("grey.mkv", "126:128:128", "-color_range tv"));
    for (const double value : grey) CHECK(value == Approx((126 - 16) * 255.0 / 219).margin(0.02));
    // The same codes read as BT.601 are another colour: the tag is what decides.
    const auto wrong = mean_rgb(tagged("as601.mkv", "63:102:240", "-color_range tv"));
    CHECK(wrong[0] == Approx(233.5).margin(1));
}

TEST_CASE("tags in are tags out") {
    using test::stream_field;
    for (const char* tags :
         {"-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv",
          "-colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m -color_range tv",
          "-colorspace bt470bg -color_primaries bt470bg -color_trc gamma28 -color_range pc"}) {
        const std::string name = "tags" + std::to_string(std::hash<std::string>{}(tags));
        const auto in =
            test::clip(name + ".mp4", test::moving("96x64", "25", "0.2") +
                                          " -pix_fmt yuv420p -c:v libx264 -qp 0 " + tags);
        for (const char* ending : {"-out.mp4", "-out.mkv"}) {
            const auto out = test::scratch() / (name + ending);
            const auto source = open_video(in);
            const auto sink = create_video(out, source->info());
            while (auto frame = source->next()) sink->put(*frame);
            sink->finish();
            const std::string fields =
                "color_space,color_primaries,color_transfer,color_range,chroma_location";
            CHECK(test::stream_field(out, fields) == test::stream_field(in, fields));
        }
    }
}

}  // namespace weft
