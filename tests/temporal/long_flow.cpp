#include "temporal/long_flow.h"

#include <ATen/Parallel.h>

#include <catch2/catch.hpp>

#include "temporal/edge_flow.h"
#include "temporal/flow_fill.h"
#include "temporal/noise.h"
#include "tests/temporal/pictures.h"

using namespace weft;
using weft::tests::shift;
using weft::tests::texture;

namespace {

constexpr int64_t height = 128;
constexpr int64_t width = 160;

FlowField moved(double dx, double dy) {
    const auto offset = shift(height, width, dx, dy);
    return {offset, in_bounds(offset)};
}

FlowPair step(double dx, double dy) {
    return {.backward = moved(dx, dy), .forward = moved(-dx, -dy)};
}

/// Length of the difference of offsets, [1, 1, h, w].
torch::Tensor distance(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).square().sum(1, true).sqrt();
}

double mean_inside(const torch::Tensor& x) {
    constexpr int64_t margin = 24;
    return x.slice(2, margin, -margin)
        .slice(3, margin, -margin)
        .to(torch::kFloat32)
        .mean()
        .item<double>();
}

/// Fine blobs, a texture that repeats nowhere, [1, 3, h, w].
torch::Tensor blobs(uint64_t seed, double level) {
    const auto coarse = normal_noise({.seed = seed}, {1, 3, height / 4, width / 4});
    return (level + 0.12 * at::upsample_bicubic2d(coarse, {height, width}, false)).clamp(0, 1);
}

/// A bright square of 48 pixels that moves over a darker ground, 12 pixels to the right from key to
/// frame; all of it textured.
struct MovingSquare {
    torch::Tensor key = blobs(1, 0.3);
    torch::Tensor frame = key.clone();
    torch::Tensor there = torch::zeros({1, 2, height, width});  // on the frame, to the key
    torch::Tensor back = torch::zeros({1, 2, height, width});
    torch::Tensor hidden = torch::zeros({1, 1, height, width}, torch::kBool);

    MovingSquare() {
        const auto square = blobs(2, 0.75).slice(2, 0, 48).slice(3, 0, 48);
        key.slice(2, 40, 88).slice(3, 40, 88).copy_(square);
        frame.slice(2, 40, 88).slice(3, 52, 100).copy_(square);
        there.select(1, 0).slice(1, 40, 88).slice(2, 52, 100).fill_(-12);
        back.select(1, 0).slice(1, 40, 88).slice(2, 40, 88).fill_(12);
        hidden.slice(2, 40, 88).slice(3, 40, 52).fill_(true);
    }
};

FlowField trusted(const torch::Tensor& offset) {
    return {offset, in_bounds(offset)};
}

}  // namespace

TEST_CASE("joined motion is the sum of its steps, from either end") {
    const std::array steps{step(1.5, 0), step(2, -1), step(0.25, 0.5)};
    const auto from_first = joined_from_first(steps);
    const auto to_last = joined_to_last(steps);
    REQUIRE(from_first.size() == 3);
    REQUIRE(to_last.size() == 3);
    const auto inner = [](const FlowField& flow) {
        return std::pair{flow.offset[0][0][64][80].item<double>(),
                         flow.offset[0][1][64][80].item<double>()};
    };
    CHECK(inner(from_first[1].backward) == std::pair{3.5, -1.0});
    CHECK(inner(from_first[2].backward) == std::pair{3.75, -0.5});
    CHECK(inner(from_first[2].forward) == std::pair{-3.75, 0.5});
    CHECK(inner(to_last[0].backward) == std::pair{3.75, -0.5});
    CHECK(inner(to_last[1].forward) == std::pair{-2.25, 0.5});
    CHECK(inner(to_last[2].backward) == std::pair{0.25, 0.5});
    CHECK(joined_from_first({}).empty());
}

TEST_CASE("what composed flow is off by is found and corrected") {
    const auto frame = texture(height, width, 18.4, -6.2);
    const auto key = texture(height, width);
    const auto truth = shift(height, width, 18.4, -6.2);
    const auto start = moved(17.2, -5.4);
    const auto start_back = moved(-17.2, 5.4);
    const auto found = LongFlow()(frame, key, start, start_back);
    CHECK(mean_inside(distance(start.offset, truth)) > 1.4);
    CHECK(mean_inside(distance(found.offset, truth)) < 0.1);
    CHECK(mean_inside(found.valid) > 0.98);

    // The start may be known on a smaller grid only.
    const auto coarse =
        LongFlow()(frame, key, resized(start, height / 2, width / 2), resized(start_back, 64, 80));
    CHECK(mean_inside(distance(coarse.offset, truth)) < 0.1);
}

TEST_CASE("on large pictures, which are shrunk to look for motion, it is found as well") {
    constexpr int64_t tall = 2 * height;
    constexpr int64_t wide = 2 * width;
    const auto frame = texture(tall, wide, 18.4, -6.2);
    const auto key = texture(tall, wide);
    const auto near = [](double dx, double dy) {
        const auto offset = shift(tall, wide, dx, dy);
        return FlowField{offset, in_bounds(offset)};
    };
    const auto truth = shift(tall, wide, 18.4, -6.2);
    const auto error = [&](int64_t shrink) {
        const LongFlow flow({.shrink = shrink});
        const auto found = flow(frame, key, near(17.2, -5.4), near(-17.2, 5.4));
        CHECK(mean_inside(found.valid) > 0.98);
        return mean_inside(distance(found.offset, truth));
    };
    CHECK(error(1) < 0.1);
    CHECK(error(2) < 0.15);
}

TEST_CASE("what nothing leads back from, or what looks different, is not valid") {
    const auto frame = texture(height, width, 3, 0);
    auto key = texture(height, width);
    key.slice(2, 40, 70).slice(3, 50, 90).fill_(0);
    const auto found = LongFlow()(frame, key, moved(3, 0), moved(-3, 0));
    const auto share = [&](int64_t y, int64_t x, int64_t side) {
        return found.valid.slice(2, y, y + side)
            .slice(3, x, x + side)
            .to(torch::kFloat32)
            .mean()
            .item<double>();
    };
    CHECK(share(46, 58, 16) < 0.1);
    CHECK(share(90, 100, 16) > 0.95);
}

TEST_CASE("a change of light leaves the flow and its validity as they are") {
    const auto key = texture(height, width);
    const auto frame = 0.7 * texture(height, width, 6, 2);
    const auto found = LongFlow()(frame, key, moved(5.5, 2.2), moved(-5.5, -2.2));
    CHECK(mean_inside(distance(found.offset, shift(height, width, 6, 2))) < 0.2);
    CHECK(mean_inside(found.valid) > 0.95);
}

TEST_CASE("at the edge of a moving thing each pixel goes with its own surface") {
    const MovingSquare scene;
    const auto estimator = make_flow_estimator("dis");
    const auto start = (*estimator)(scene.frame, scene.key);
    const auto start_back = (*estimator)(scene.key, scene.frame);
    const auto found = LongFlow()(scene.frame, scene.key, trusted(start), trusted(start_back));

    // A frame 6 pixels wide around the square, but for the strip that the key does not show.
    auto edge = torch::zeros({1, 1, height, width}, torch::kBool);
    edge.slice(2, 34, 94).slice(3, 46, 106).fill_(true);
    edge.slice(2, 46, 82).slice(3, 58, 94).fill_(false);
    const auto share = [](const torch::Tensor& part, const torch::Tensor& whole) {
        return (part & whole).sum().item<double>() / whole.sum().item<double>();
    };
    const auto seen = edge & ~scene.hidden;
    const auto wrong_before = share(distance(start, scene.there) > 2, seen);
    const auto wrong = share(distance(found.offset, scene.there) > 2, seen);
    CHECK(wrong_before > 0.2);
    CHECK(wrong < wrong_before / 3);
    // Little that is wrong counts as valid, most that is right does.
    CHECK(share(found.valid & (distance(found.offset, scene.there) > 2), seen) < 0.03);
    CHECK(share(found.valid, seen) > 0.75);
    CHECK(share(found.valid, scene.hidden) < 0.15);
}

TEST_CASE("sure motion spreads over even ground and stops at the picture's edges") {
    auto picture = torch::full({1, 3, height, width}, 0.2);
    picture.slice(3, 80).fill_(0.8);
    auto offset = 3 * normal_noise({.seed = 1}, {1, 2, height, width});
    auto confidence = torch::zeros({1, 1, height, width});
    // One sure patch on either side.
    offset.slice(2, 60, 68).slice(3, 30, 38).fill_(2);
    offset.slice(2, 60, 68).slice(3, 120, 128).fill_(-5);
    confidence.slice(2, 60, 68).slice(3, 30, 38).fill_(1);
    confidence.slice(2, 60, 68).slice(3, 120, 128).fill_(1);
    const auto spread = spread_from_confident(offset, confidence, picture);
    const auto near = [&](int64_t from, int64_t to) {
        return spread.slice(2, 50, 78).slice(3, from, to);
    };
    CHECK((near(20, 48) - 2).abs().max().item<double>() < 0.3);
    CHECK((near(110, 138) + 5).abs().max().item<double>() < 0.3);
    CHECK(texturedness(picture).slice(3, 0, 70).max().item<double>() == 0);
    CHECK(texturedness(blobs(1, 0.5)).mean().item<double>() > 0.8);
}

TEST_CASE("a mask follows the picture's edge") {
    auto picture = torch::full({1, 3, height, width}, 0.2);
    picture.slice(3, 80).fill_(0.8);
    auto ragged = torch::zeros({1, 1, height, width}, torch::kBool);
    ragged.slice(3, 80).fill_(true);
    const auto truth = ragged.clone();
    for (int64_t y = 0; y < height; y += 4) {
        ragged.slice(2, y, y + 2).slice(3, 78, 82).fill_(y % 8 == 0);
    }
    CHECK_FALSE(torch::equal(ragged, truth));
    CHECK(torch::equal(edge_aligned_mask(ragged, picture), truth));
}

TEST_CASE("long flow does not depend on the number of threads") {
    const MovingSquare scene;
    const LongFlow find;
    const auto threads = at::get_num_threads();
    at::set_num_threads(1);
    const auto alone = find(scene.frame, scene.key, trusted(scene.there), trusted(scene.back));
    at::set_num_threads(3);
    const auto shared = find(scene.frame, scene.key, trusted(scene.there), trusted(scene.back));
    at::set_num_threads(threads);
    CHECK(torch::equal(alone.offset, shared.offset));
    CHECK(torch::equal(alone.valid, shared.valid));
}
