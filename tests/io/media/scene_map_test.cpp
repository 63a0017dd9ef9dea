#include "io/media/scene_map.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "io/files/error.h"
#include "tests/io/media/clips.h"

namespace weft {
namespace {

Frame still(const torch::Tensor& pixels) {
    Frame frame;
    frame.pixels = pixels;
    frame.duration = Time(1, 24);
    return frame;
}

std::unique_ptr<const PictureMap> map_of(const std::string& colorspace) {
    return make_picture_map({}, {.ocio = "builtin", .colorspace = colorspace});
}

torch::Tensor ramp() {
    return torch::tensor({-0.2, 0.0, 0.02, 0.18, 1.0, 4.0, 60.0})
        .to(torch::kFloat32)
        .view({1, 1, 7})
        .repeat({3, 1, 1});
}

}  // namespace

TEST_CASE("a model is shown pictures of a display") {
    const auto map = map_of("ACEScg");
    const torch::Tensor shown = map->shown(ramp());
    CHECK(shown.min().item<double>() >= 0);
    CHECK(shown.max().item<double>() <= 1);
    // Middle grey lies below the knee: it is sRGB's 0.4614.
    CHECK(shown[1][0][3].item<double>() == Approx(0.46135).margin(1e-3));
    const auto log = map_of("ARRI LogC3");
    CHECK(log->shown(torch::full({3, 1, 1}, 0.391007F))[0].item<double>() ==
          Approx(0.46135).margin(1e-3));
    const torch::Tensor rise = torch::linspace(0, 1, 400).view({1, 1, 400}).repeat({3, 1, 1});
    const torch::Tensor seen = log->shown(rise)[0][0];
    CHECK((seen.slice(0, 1) - seen.slice(0, 0, 399)).min().item<double>() >= -1e-5);
}

TEST_CASE("an unedited picture comes back to the last bit") {
    torch::manual_seed(5);
    const torch::Tensor picture = torch::randn({3, 20, 30}) * 4;
    for (const char* space : {"ACEScg", "Linear Rec.709", "ARRI LogC4", "Canon Log 3", "ACEScct"}) {
        const auto map = map_of(space);
        const torch::Tensor shown = map->shown(picture);
        CHECK(map->returned(picture, shown, shown.clone()).equal(picture));
        // Also where only another pixel was edited.
        torch::Tensor edited = shown.clone();
        edited.slice(1, 0, 1).fill_(0.5);
        CHECK(map->returned(picture, shown, edited).slice(1, 1).equal(picture.slice(1, 1)));
    }
}

TEST_CASE("an edit becomes a gain over scene light, highlights too") {
    const auto map = map_of("ACEScg");
    const torch::Tensor shown = map->shown(ramp());
    // Half the light of the display everywhere.
    const auto config = ColorConfig::open("builtin");
    const torch::Tensor edited = config.transform(
        "Linear Rec.709", "sRGB")(config.transform("sRGB", "Linear Rec.709")(shown) * 0.5);
    const torch::Tensor result = map->returned(ramp(), shown, edited);
    CHECK(result[0][0][6].item<double>() == Approx(30).margin(0.6));
    CHECK(result[1][0][5].item<double>() == Approx(2).margin(0.1));
    CHECK(result[2][0][3].item<double>() == Approx(0.09).margin(0.002));
    CHECK(result[0][0][0].item<double>() == Approx(-0.2).margin(1e-6));
}

TEST_CASE("another space can be written, with its tags where they are known") {
    const auto map = map_of("ACEScg:sRGB:Rec.709");
    const torch::Tensor shown = map->shown(ramp());
    const torch::Tensor out = map->returned(ramp(), shown, shown.clone());
    CHECK(out[0][0][3].item<double>() == Approx(std::pow(0.18, 1 / 2.4)).margin(1e-4));
    StreamInfo info;
    info.color = {.matrix = 9, .primaries = 9, .transfer = 16};
    CHECK(map->written(info).color.transfer == 1);
    CHECK(map->written(info).color.matrix == 1);
    CHECK(map_of("ACEScg")->written(info).color == info.color);
    CHECK(map_of("sRGB:sRGB:ACEScg")->written(info).color.transfer == 2);
    CHECK_THROWS_AS(map_of("ACEScg:sRGB:nowhere"), UsageError);
}

TEST_CASE("clips without a colour space go by their tags") {
    StreamInfo info;
    CHECK(make_picture_map(info, {}) == nullptr);
    info.is_float = true;
    CHECK(make_picture_map(info, {}) != nullptr);
}

TEST_CASE("half and float pictures of ACEScg come out with the values they had") {
    const auto picture = (torch::linspace(-1, 20, 3 * 24 * 32).view({3, 24, 32})).to(torch::kHalf);
    StreamInfo info;
    info.width = 32;
    info.height = 24;
    info.is_float = true;
    for (const int bits : {16, 32}) {
        info.bit_depth = bits;
        const auto in = test::scratch() / ("linear" + std::to_string(bits) + ".exr");
        const auto out = test::scratch() / ("linear-out" + std::to_string(bits) + ".exr");
        auto sink = create_video(in, info, {});
        sink->put(still(picture.to(torch::kFloat32)));
        sink->finish();
        const auto source = open_video(in);
        const auto frame = source->next();
        REQUIRE(frame);
        REQUIRE(frame->pixels.equal(picture.to(torch::kFloat32)));
        const auto map =
            make_picture_map(source->info(), {.ocio = "builtin", .colorspace = "ACEScg"});
        const torch::Tensor shown = map->shown(frame->pixels);
        auto again = create_video(out, map->written(source->info()), {});
        again->put(still(map->returned(frame->pixels, shown, shown.clone())));
        again->finish();
        CHECK(test::frames_of(out).front().pixels.equal(picture.to(torch::kFloat32)));
    }
}

}  // namespace weft
