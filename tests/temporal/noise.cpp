#include "temporal/noise.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "temporal/noise_chain.h"
#include "tests/temporal/statistics.h"

using namespace weft;
using weft::tests::correlation;
using weft::tests::looks_white;

namespace {

/// A camera that turns slowly.
class TurningCamera : public ClipMotion {
  public:
    int64_t shot_start(int64_t /*frame*/) const override { return 0; }

    FlowPair into(int64_t /*frame*/, int64_t height, int64_t width) const override {
        const auto x = torch::arange(width, torch::kFloat32).view({1, 1, 1, -1});
        const auto y = torch::arange(height, torch::kFloat32).view({1, 1, -1, 1});
        const auto turn =
            0.02 *
            torch::cat({(-y).expand({1, 1, height, width}), x.expand({1, 1, height, width})}, 1);
        return {{turn, in_bounds(turn)}, {-turn, in_bounds(-turn)}};
    }
};

NoiseField field(const std::string& kind, uint64_t seed = 7, double share = 1.0) {
    return {.kind = find_noise_kind(kind),
            .seed = seed,
            .share = share,
            .chain = std::make_shared<NoiseChain>(std::make_shared<TurningCamera>())};
}

torch::Tensor draw(const NoiseField& noise, std::vector<int64_t> frames, int64_t side = 48) {
    return noise.draw(NoisePurpose::start, 0, frames, {4, side, side});
}

}  // namespace

TEST_CASE("Philox 4x32-10 gives the known answers of Random123") {
    using Words = std::array<uint32_t, 4>;
    CHECK(philox_4x32({0, 0, 0, 0}, {0, 0}) ==
          Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    CHECK(philox_4x32({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}) ==
          Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(philox_4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("every kind of noise is N(0,1) in each frame") {
    for (const NoiseKind& kind : noise_kinds()) {
        INFO(kind.name);
        const auto noise = draw(field(kind.name, 11, 1.5), {0, 4}, 64);  // [2, 4, 64, 64]
        for (int64_t i = 0; i < 2; ++i) {
            CHECK(looks_white(noise[i]));
        }
    }
}

TEST_CASE("frames correlate as the kind promises") {
    const auto between = [](const NoiseField& noise) {
        const auto drawn = draw(noise, {3, 4}, 96);
        return correlation(drawn[0], drawn[1]);
    };
    CHECK(between(field("fixed")) == Approx(1.0));
    CHECK(between(field("independent")) == Approx(0.0).margin(0.02));
    for (const double a : {0.0, 0.5, 1.0, 2.0}) {
        CHECK(between(field("mixed", 7, a)) == Approx(a * a / (1 + a * a)).margin(0.02));
    }
}

TEST_CASE("noise is a pure function of its key") {
    for (const NoiseKind& kind : noise_kinds()) {
        INFO(kind.name);
        const auto noise = field(kind.name);
        const auto together = draw(noise, {0, 1, 2, 4});
        CHECK(torch::equal(together[3], draw(noise, {4})[0]));
        CHECK(torch::equal(together[1], draw(noise, {1, 0})[0]));
        CHECK_FALSE(torch::equal(draw(field(kind.name, 8), {0}), draw(noise, {0})));
        const std::vector<int64_t> first{0};
        CHECK_FALSE(torch::equal(noise.draw(NoisePurpose::step, 0, first, {4, 8, 8}),
                                 noise.draw(NoisePurpose::start, 0, first, {4, 8, 8})));
        CHECK_FALSE(torch::equal(noise.draw(NoisePurpose::step, 1, first, {4, 8, 8}),
                                 noise.draw(NoisePurpose::step, 0, first, {4, 8, 8})));
    }
    const auto longer = normal_noise({.seed = 5}, {10});
    CHECK(torch::equal(longer.slice(0, 0, 7), normal_noise({.seed = 5}, {7})));
}

TEST_CASE("an unknown kind of noise is not found") {
    CHECK(find_noise_kind("brown") == nullptr);
}

TEST_CASE("noise that moves needs the clip's motion") {
    const std::vector<int64_t> first{0};
    for (const NoiseKind& kind : noise_kinds()) {
        const NoiseField still{.kind = &kind};
        if (kind.moves) {
            CHECK_THROWS(still.draw(NoisePurpose::start, 0, first, {4, 8, 8}));
        } else {
            CHECK_NOTHROW(still.draw(NoisePurpose::start, 0, first, {4, 8, 8}));
        }
    }
}
