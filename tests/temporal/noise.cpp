#include "temporal/noise.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

using namespace weft;

namespace {

NoiseField field(const std::string& kind, uint64_t seed = 7, double share = 1.0) {
    return {.kind = find_noise_kind(kind), .seed = seed, .share = share};
}

torch::Tensor draw(const NoiseField& noise, std::vector<int64_t> frames, int64_t side = 96) {
    return noise.draw(NoisePurpose::start, 0, frames, {4, side, side});
}

double correlation(const torch::Tensor& a, const torch::Tensor& b) {
    return (a * b).mean().item<double>() /
           std::sqrt((a * a).mean().item<double>() * (b * b).mean().item<double>());
}

/// Largest distance between the sample's distribution and N(0,1).
double kolmogorov_smirnov(const torch::Tensor& sample) {
    const auto sorted = std::get<0>(sample.flatten().to(torch::kFloat64).sort());
    const auto count = sorted.numel();
    const auto expected = 0.5 * (1.0 + torch::erf(sorted / std::sqrt(2.0)));
    const auto above = torch::arange(1, count + 1, torch::kFloat64) / count - expected;
    const auto below = expected - torch::arange(0, count, torch::kFloat64) / count;
    return std::max(above.max().item<double>(), below.max().item<double>());
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
        const auto noise = draw(field(kind.name, 11, 1.5), {0, 5}, 128);  // [2, 4, 128, 128]
        for (int64_t i = 0; i < 2; ++i) {
            const auto frame = noise[i];
            // 65,536 samples: 4 standard errors of the mean and of the variance; KS at p = 0.001.
            CHECK(std::abs(frame.mean().item<double>()) < 4.0 / 256);
            CHECK(std::abs(frame.var().item<double>() - 1.0) < 4.0 * std::sqrt(2.0) / 256);
            CHECK(kolmogorov_smirnov(frame) < 1.95 / 256);
        }
        // White in space: neighbours do not correlate.
        CHECK(std::abs(correlation(noise.slice(3, 1), noise.slice(3, 0, -1))) < 4.0 / 361);
        CHECK(std::abs(correlation(noise.slice(2, 1), noise.slice(2, 0, -1))) < 4.0 / 361);
    }
}

TEST_CASE("frames correlate as the kind promises") {
    const auto between = [](const NoiseField& noise) {
        const auto drawn = draw(noise, {3, 4});
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
        const auto together = draw(noise, {0, 1, 2, 9});
        CHECK(torch::equal(together[3], draw(noise, {9})[0]));
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
    CHECK(find_noise_kind("warped") == nullptr);
}
