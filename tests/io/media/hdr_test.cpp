#include "io/media/hdr.h"

#include <catch2/catch.hpp>
#include <cmath>

namespace weft {
namespace {

const ColorTag pq{.matrix = 9, .primaries = 9, .transfer = 16, .range = ColorRange::limited};
const ColorTag hlg{.matrix = 9, .primaries = 9, .transfer = 18, .range = ColorRange::limited};

/// PQ code of a luminance (SMPTE ST 2084, equation 5.2), written out once more.
double pq_code(double nits) {
    const double y = std::pow(nits / 10000, 0.1593017578125);
    return std::pow((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y), 78.84375);
}

torch::Tensor gray(double code) {
    return torch::full({3, 1, 1}, code, torch::kFloat32);
}

}  // namespace

TEST_CASE("reference points of PQ and HLG are shown as BT.2408 says") {
    const HdrMap map(pq);
    // Below the curve's knee light is kept: 50 nits are 50/203 of white.
    CHECK(map.shown(gray(pq_code(50)))[0].item<double>() ==
          Approx(std::pow(50.0 / 203, 1 / 2.4)).margin(2e-4));
    CHECK(map.shown(gray(pq_code(1000)))[1].item<double>() == Approx(1).margin(1e-3));
    CHECK(map.shown(gray(pq_code(4000)))[1].item<double>() == Approx(1).margin(1e-3));
    CHECK(map.shown(gray(0))[2].item<double>() == Approx(0).margin(1e-3));
    // HLG's 75 % is 203 nits on the nominal display, as PQ's 58 % is.
    CHECK(HdrMap(hlg).shown(gray(0.75))[0].item<double>() ==
          Approx(map.shown(gray(pq_code(203)))[0].item<double>()).margin(2e-3));
}

TEST_CASE("the curve rises, and colours within BT.709 keep their hue") {
    const HdrMap map(pq);
    const torch::Tensor ramp = torch::linspace(0, 1, 500).view({1, 1, 500}).repeat({3, 1, 1});
    const torch::Tensor shown = map.shown(ramp);
    CHECK((shown[0][0].slice(0, 1) - shown[0][0].slice(0, 0, 499)).min().item<double>() >= -1e-6);
    CHECK((shown[0] - shown[2]).abs().max().item<double>() < 2e-3);
}

TEST_CASE("an unedited picture comes back as it was, a black one too") {
    torch::manual_seed(3);
    for (const ColorTag& tag : {pq, hlg}) {
        const HdrMap map(tag);
        const torch::Tensor hdr = torch::rand({3, 40, 50}) * 1.1 - 0.05;
        const torch::Tensor shown = map.shown(hdr);
        CHECK(map.returned(hdr, shown, shown.clone()).equal(hdr));
        // A change too small to see gives one too small to see: the transfers are inverses.
        const torch::Tensor near = (shown + 1e-4).clamp(0, 1);
        const torch::Tensor inside = hdr.clamp(0.02, 1);
        const torch::Tensor seen = map.shown(inside);
        const torch::Tensor back = map.returned(inside, seen, (seen + 1e-6).clamp(0, 1));
        CHECK((back - inside).abs().max().item<double>() < 2e-3);
        CHECK(near.isfinite().all().item<bool>());
    }
}

TEST_CASE("an edit becomes a gain: highlights stay, dark parts take the edit's light") {
    const HdrMap map(pq);
    const torch::Tensor bright = gray(pq_code(800));
    const torch::Tensor seen = map.shown(bright);
    // Half the light everywhere is half the light of the highlight too.
    const torch::Tensor half = map.returned(bright, seen, seen * std::pow(0.5, 1 / 2.4));
    CHECK(half[0].item<double>() == Approx(pq_code(400)).margin(0.004));
    CHECK(half[0].item<double>() > pq_code(203));
    // In the dark the result is the edit itself.
    const torch::Tensor dark = gray(pq_code(5));
    const torch::Tensor edited = map.shown(gray(pq_code(60)));
    CHECK(map.returned(dark, map.shown(dark), edited)[0].item<double>() ==
          Approx(pq_code(60)).margin(0.003));
}

TEST_CASE("linear light keeps what is above white and below black") {
    const HdrMap map(ColorTag{.transfer = 8});
    const torch::Tensor light =
        torch::tensor({-0.2F, 0.0F, 0.25F, 1.0F, 4.0F, 60.0F}).view({1, 1, 6}).repeat({3, 1, 1});
    const torch::Tensor shown = map.shown(light);
    CHECK(shown[0][0][2].item<double>() == Approx(std::pow(0.25, 1 / 2.4)).margin(2e-3));
    CHECK(shown.max().item<double>() <= 1);
    CHECK(map.returned(light, shown, shown.clone()).equal(light));
    const torch::Tensor darker = map.returned(light, shown, shown * std::pow(0.5, 1 / 2.4));
    CHECK(darker[0][0][5].item<double>() == Approx(30).margin(1));
    CHECK(darker[0][0][4].item<double>() > 1.9);
}

TEST_CASE("PQ, HLG and floating point need the map, 10 bits alone do not") {
    StreamInfo info;
    info.bit_depth = 10;
    CHECK_FALSE(needs_hdr_map(info));
    info.is_float = true;
    CHECK(needs_hdr_map(info));
    info.is_float = false;
    info.color.transfer = 18;
    CHECK(needs_hdr_map(info));
}

}  // namespace weft
