#include "temporal/noise_warp.h"

#include <ATen/Parallel.h>

#include <array>
#include <catch2/catch.hpp>

#include "temporal/noise_chain.h"
#include "tests/temporal/pictures.h"
#include "tests/temporal/statistics.h"

using namespace weft;
using weft::tests::correlation;
using weft::tests::looks_white;
using weft::tests::shift;

namespace {

struct Method {
    const char* name;
    NoiseChain::Warp warp;
};

constexpr std::array methods{Method{"particles", warp_by_particles},
                             Method{"transport", warp_by_transport}};

FlowField held(const torch::Tensor& offset) {
    return {offset, in_bounds(offset)};
}

FlowPair both_ways(const torch::Tensor& backward, const torch::Tensor& forward) {
    return {held(backward), held(forward)};
}

FlowPair shift_pair(int64_t side, double dx, double dy) {
    return both_ways(shift(side, side, dx, dy), shift(side, side, -dx, -dy));
}

/// p -> centre + scale R(angle) (p - centre), and its inverse.
FlowPair turn_and_zoom(int64_t side, double angle, double scale) {
    const auto flow = [&](double turn, double zoom) {
        const auto middle = static_cast<double>(side - 1) / 2;
        const auto x =
            (torch::arange(side, torch::kFloat32) - middle).view({1, -1}).expand({side, -1});
        const auto y =
            (torch::arange(side, torch::kFloat32) - middle).view({-1, 1}).expand({-1, side});
        const auto to_x = zoom * (std::cos(turn) * x - std::sin(turn) * y);
        const auto to_y = zoom * (std::sin(turn) * x + std::cos(turn) * y);
        return torch::stack({to_x - x, to_y - y}).unsqueeze(0);
    };
    return both_ways(flow(angle, scale), flow(-angle, 1 / scale));
}

NoiseKey key(uint64_t seed) {
    return {.seed = seed};
}

NoiseWarpDraws draws(uint64_t seed, torch::IntArrayRef shape) {
    return {.pieces = {.seed = seed, .purpose = NoisePurpose::start_pieces, .frame = 1},
            .fresh = normal_noise({.seed = seed, .frame = 1}, shape)};
}

torch::Tensor warped(NoiseChain::Warp warp, const FlowPair& flow, uint64_t seed, int64_t channels) {
    const std::array<int64_t, 3> shape{channels, flow.backward.height(), flow.backward.width()};
    return warp(at_rest(normal_noise(key(seed), shape)), flow, draws(seed, shape)).noise;
}

std::vector<FlowPair> motions(int64_t side) {
    return {shift_pair(side, 0, 0),        shift_pair(side, 3, -2),
            shift_pair(side, 0.5, 0.25),   turn_and_zoom(side, 0, 0.7),
            turn_and_zoom(side, 0, 1.45),  turn_and_zoom(side, 0.4, 1),
            turn_and_zoom(side, -0.1, 0.9)};
}

/// A clip whose every frame moves alike, with a cut.
class SteadyMotion : public ClipMotion {
  public:
    static constexpr int64_t cut = 20;

    int64_t shot_start(int64_t frame) const override { return frame < cut ? 0 : cut; }

    FlowPair into(int64_t /*frame*/, int64_t height, int64_t /*width*/) const override {
        return turn_and_zoom(height, 0.03, 0.98);
    }
};

}  // namespace

TEST_CASE("warped noise is white") {
    for (const Method& method : methods) {
        for (const FlowPair& flow : motions(96)) {
            INFO(method.name << " with a flow of mean " << flow.backward.offset.abs().mean());
            CHECK(looks_white(warped(method.warp, flow, 3, 4)));
        }
    }
}

TEST_CASE("the tests of whiteness find bilinear warping") {
    const auto noise = normal_noise(key(3), {4, 96, 96});
    CHECK(looks_white(noise));
    CHECK_FALSE(looks_white(warp(noise.unsqueeze(0), shift(96, 96, 0.5, 0.25))[0]));
    // Nearest neighbours keep the variance, but a zoom repeats pixels.
    const auto twice = noise.repeat_interleave(2, 1).repeat_interleave(2, 2);
    CHECK_FALSE(looks_white(twice));
}

TEST_CASE("every pixel of warped noise is N(0,1) and independent of its neighbours") {
    constexpr int64_t side = 12;
    constexpr int64_t seeds = 4000;
    for (const Method& method : methods) {
        for (const FlowPair& flow : {shift_pair(side, 0.5, 0.25), turn_and_zoom(side, 0.2, 0.8)}) {
            INFO(method.name);
            // Channels are draws of their own.
            const auto sample = warped(method.warp, flow, 17, seeds).flatten(1);  // [seeds, pixels]
            const auto root = std::sqrt(static_cast<double>(seeds));
            CHECK((sample.mean(0).abs() * root).max().item<double>() < 4.8);
            const auto covariance = sample.t().matmul(sample) / seeds;  // [pixels, pixels]
            const auto error = (covariance - torch::eye(side * side)) * root;
            CHECK((error.diagonal() / std::sqrt(2.0)).abs().max().item<double>() < 4.8);
            CHECK((error - error.diagonal().diag()).abs().max().item<double>() < 5.6);
        }
    }
}

TEST_CASE("no motion changes nothing, whole pixels shift exactly") {
    const auto noise = normal_noise(key(5), {4, 32, 32});
    for (const Method& method : methods) {
        INFO(method.name);
        CHECK(torch::equal(warped(method.warp, shift_pair(32, 0, 0), 5, 4), noise));
        const auto moved = warped(method.warp, shift_pair(32, 3, -2), 5, 4);
        CHECK(torch::equal(moved.slice(1, 2).slice(2, 0, 29), noise.slice(1, 0, 30).slice(2, 3)));
        // What comes in at the border is new.
        CHECK(std::abs(correlation(moved.slice(2, 29), noise.slice(2, 29))) < 0.2);
    }
}

TEST_CASE("warped noise follows sub-pixel motion") {
    // A quarter of a pixel: particles keep most of each pixel, transport keeps all of it.
    const auto noise = normal_noise(key(5), {4, 64, 64});
    const auto moved = warped(warp_by_particles, shift_pair(64, 0.25, 0), 5, 4);
    CHECK(correlation(moved, noise) > 0.7);
    const auto beside = correlation(moved.slice(2, 0, 63), noise.slice(2, 1));
    CHECK(beside > 0.15);
}

TEST_CASE("where the flow is invalid noise is fresh") {
    auto flow = shift_pair(32, 0, 0);
    flow.backward.valid.slice(2, 8, 16).fill_(false);
    flow.forward.valid.slice(2, 8, 16).fill_(false);
    const auto noise = normal_noise(key(5), {4, 32, 32});
    for (const Method& method : methods) {
        INFO(method.name);
        const auto moved = warped(method.warp, flow, 5, 4);
        CHECK(torch::equal(moved.slice(1, 16), noise.slice(1, 16)));
        CHECK(std::abs(correlation(moved.slice(1, 8, 16), noise.slice(1, 8, 16))) < 0.15);
    }
}

TEST_CASE("warping does not depend on the number of threads") {
    const int before = at::get_num_threads();
    for (const Method& method : methods) {
        INFO(method.name);
        std::vector<torch::Tensor> results;
        for (const int threads : {1, 2, 4}) {
            at::set_num_threads(threads);
            results.push_back(warped(method.warp, turn_and_zoom(96, 0.1, 0.9), 9, 4));
        }
        at::set_num_threads(before);
        CHECK(torch::equal(results[0], results[1]));
        CHECK(torch::equal(results[0], results[2]));
    }
}

TEST_CASE("a chain gives a frame the same noise in any order, white to the end") {
    for (const Method& method : methods) {
        INFO(method.name);
        const NoiseChain chain(std::make_shared<SteadyMotion>());
        const std::array<int64_t, 3> shape{4, 24, 24};
        const auto at = [&](const NoiseChain& noise, int64_t frame) {
            return noise.at({.seed = 2, .frame = frame}, shape, method.warp);
        };
        const auto late = at(chain, 15);
        CHECK(looks_white(late));
        std::vector<torch::Tensor> in_order;
        const NoiseChain other(std::make_shared<SteadyMotion>());
        for (int64_t frame = 0; frame < 22; ++frame) {
            in_order.push_back(at(other, frame));
        }
        CHECK(torch::equal(late, in_order[15]));
        CHECK(torch::equal(at(chain, 3), in_order[3]));
        // Neighbours are alike, across the cut they are not.
        CHECK(correlation(in_order[4], in_order[5]) > 0.5);
        CHECK(std::abs(correlation(in_order[19], in_order[20])) < 0.1);
        CHECK(torch::equal(at(chain, 21), in_order[21]));
    }
}
