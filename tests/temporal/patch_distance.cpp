#include "temporal/patch_distance.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <random>
#include <vector>

using namespace weft;

namespace {

std::vector<uint8_t> random_bytes(size_t count, uint32_t seed) {
    std::mt19937 draw(seed);
    std::vector<uint8_t> bytes(count);
    for (uint8_t& byte : bytes) {
        // Extremes are frequent, so that sums come near to their bounds.
        const auto value = draw() % 512;
        byte = static_cast<uint8_t>(std::min<uint32_t>(255, value));
    }
    return bytes;
}

}  // namespace

TEST_CASE("the vector unit measures patches as plain code does") {
    const auto& plain = plain_patch_distance();
    const auto& fast = patch_distance();
    constexpr int64_t row = 64;
    const auto seed = GENERATE(range(0U, 50U));
    auto a = random_bytes(5 * row, 3 * seed);
    auto b = random_bytes(5 * row, 3 * seed + 1);
    for (size_t i = 3; i < a.size(); i += 4) {
        a[i] = b[i] = 0;
    }
    const SpreadPatch spread_a{a.data() + 4, row};
    const SpreadPatch spread_b{b.data() + 8, row};
    std::array<int32_t, 40> expected{};
    std::array<int32_t, 40> found{};
    plain.to_colour(spread_a, b.data(), expected.data());
    fast.to_colour(spread_a, b.data(), found.data());
    CHECK(found == expected);

    std::mt19937 draw(seed);
    std::array<int32_t, 40> weights{};
    for (size_t i = 0; i < weights.size(); ++i) {
        weights[i] = i % 8 < 5 ? static_cast<int32_t>(draw() % 257) : 0;
    }
    CHECK(fast.weighted(spread_a, spread_b, weights.data(), 90) ==
          plain.weighted(spread_a, spread_b, weights.data(), 90));
    CHECK(fast.weighted(spread_a, spread_b, weights.data(), 765) ==
          plain.weighted(spread_a, spread_b, weights.data(), 765));

    const auto c = random_bytes(5 * row, 3 * seed + 2);
    const auto guide = static_cast<int16_t>(seed % 2 == 0 ? 128 : draw() % 129);
    std::array<int16_t, PairPatch::read> shares{};
    for (size_t i = 0; i < 30; ++i) {
        shares[i] = i % 6 < 3 ? guide : 1;
    }
    CHECK(fast.squared({b.data() + 1, row}, {c.data() + 6, row}, shares.data()) ==
          plain.squared({b.data() + 1, row}, {c.data() + 6, row}, shares.data()));
}

TEST_CASE("distances of patches are what their definitions say") {
    std::vector<uint8_t> dark(5 * 32, 10);
    std::vector<uint8_t> light(5 * 32, 30);
    for (size_t i = 3; i < dark.size(); i += 4) {
        dark[i] = light[i] = 0;
    }
    std::array<int32_t, 40> out{};
    for (const auto* distance : {&plain_patch_distance(), &patch_distance()}) {
        distance->to_colour({dark.data(), 32}, light.data(), out.data());
        CHECK(std::all_of(out.begin(), out.end(), [](int32_t d) { return d == 60; }));
        std::array<int32_t, 40> weights{};
        weights[0] = 3;
        weights[36] = 5;
        CHECK(distance->weighted({dark.data(), 32}, {light.data(), 32}, weights.data(), 90) ==
              8 * 60);
        CHECK(distance->weighted({dark.data(), 32}, {light.data(), 32}, weights.data(), 50) ==
              8 * 50);
        std::array<int16_t, PairPatch::read> shares{};
        shares[0] = 7;
        shares[29] = 2;  // a byte of colour
        CHECK(distance->squared({dark.data(), 32}, {light.data(), 32}, shares.data()) ==
              5 * 9 * 400);
    }
}
