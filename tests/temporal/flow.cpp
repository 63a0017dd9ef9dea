#include "temporal/flow.h"

#include <catch2/catch.hpp>

#include "tests/temporal/pictures.h"

using namespace weft;
using weft::tests::shift;
using weft::tests::texture;

namespace {

FlowField everywhere(const torch::Tensor& offset) {
    return {offset, in_bounds(offset)};
}

double largest(const torch::Tensor& x) {
    return x.abs().max().item<double>();
}

/// A square of 10 pixels moves 4 to the right over a still ground; the flows are known exactly.
struct MovingSquare {
    static constexpr int64_t side = 32;
    torch::Tensor backward = torch::zeros({1, 2, side, side});
    torch::Tensor forward = torch::zeros({1, 2, side, side});
    torch::Tensor now = 0.5 * torch::ones({1, 3, side, side});
    torch::Tensor before = now.clone();

    MovingSquare() {
        before.slice(2, 10, 20).slice(3, 8, 18).fill_(1);
        now.slice(2, 10, 20).slice(3, 12, 22).fill_(1);
        forward.select(1, 0).slice(1, 10, 20).slice(2, 8, 18).fill_(4);
        backward.select(1, 0).slice(1, 10, 20).slice(2, 12, 22).fill_(-4);
    }
};

}  // namespace

TEST_CASE("warping pulls pictures along the flow") {
    const auto source = texture(24, 40);
    CHECK(largest(warp(source, identity_flow(1, 24, 40).offset) - source) < 1e-5);

    // Two pixels from the right, one from below: an exact copy inside, the border goes on outside.
    const auto moved = warp(source, shift(24, 40, 2, 1));
    CHECK(largest(moved.slice(2, 0, 23).slice(3, 0, 38) - source.slice(2, 1).slice(3, 2)) < 1e-5);
    CHECK(largest(moved.slice(2, 0, 23).slice(3, 39) - source.slice(2, 1).slice(3, 39)) < 1e-5);

    // Half a pixel is the mean of two.
    const auto half = warp(source, shift(24, 40, 0.5, 0)).slice(3, 0, 39);
    CHECK(largest(half - (source.slice(3, 0, 39) + source.slice(3, 1)) / 2) < 1e-5);
    CHECK_THROWS(warp(source, shift(24, 39, 0, 0)));
}

TEST_CASE("each picture of a batch follows its own flow") {
    const auto source = torch::cat({texture(16, 16), texture(16, 16, 5)});
    const auto offset = torch::cat({shift(16, 16, 1, 0), shift(16, 16, 0, 2)});
    const auto both = warp(source, offset);
    CHECK(torch::equal(both[1], warp(source.slice(0, 1), offset.slice(0, 1))[0]));
    CHECK(torch::equal(both[0], warp(source.slice(0, 0, 1), offset.slice(0, 0, 1))[0]));
}

TEST_CASE("in bounds is where the source has pixels") {
    const auto inside = in_bounds(shift(8, 10, 3, -1));
    CHECK(inside.slice(2, 1).slice(3, 0, 7).all().item<bool>());
    CHECK_FALSE(inside.slice(3, 7).any().item<bool>());
    CHECK_FALSE(inside.slice(2, 0, 1).any().item<bool>());
}

TEST_CASE("flows compose") {
    const auto sum = compose(everywhere(shift(20, 20, 2, 1)), everywhere(shift(20, 20, 3, -2)));
    const auto inner = [](const torch::Tensor& x) { return x.slice(2, 2, 17).slice(3, 0, 14); };
    CHECK(largest(inner(sum.offset) - inner(shift(20, 20, 5, -1))) < 1e-5);
    CHECK(inner(sum.valid).all().item<bool>());
    CHECK_FALSE(sum.valid.slice(3, 15).any().item<bool>());

    // A zoom after a zoom is the product: x -> 1.1 x -> 1.1 (1.1 x).
    const auto x = torch::arange(20, torch::kFloat32).view({1, 1, 1, 20}).expand({1, 1, 20, 20});
    const auto zoom = torch::cat({-0.1 * x, torch::zeros_like(x)}, 1);
    const auto twice = compose(everywhere(zoom), everywhere(zoom)).offset.select(1, 0);
    CHECK(largest(twice - (0.81 - 1) * x.select(1, 0)) < 1e-4);

    // What is invalid between stays invalid, with all pixels interpolated from it.
    auto hole = everywhere(shift(20, 20, 0, 0));
    hole.valid.slice(2, 10, 11).slice(3, 10, 11).fill_(false);
    const auto through = compose(everywhere(shift(20, 20, 0.5, 0)), hole);
    CHECK_FALSE(through.valid[0][0][10][9].item<bool>());
    CHECK_FALSE(through.valid[0][0][10][10].item<bool>());
    CHECK(through.valid[0][0][10][11].item<bool>());
}

TEST_CASE("a flow keeps its motion on another grid") {
    auto flow = everywhere(shift(32, 64, 8, -4));
    const auto small = resized(flow, 4, 8);
    CHECK(largest(small.offset - shift(4, 8, 1, -0.5)) < 1e-5);
    CHECK(largest(resized(small, 32, 64).offset - flow.offset) < 1e-4);

    // One bad pixel spoils its large pixel and no other.
    flow.valid = torch::ones({1, 1, 32, 64}, torch::kBool);
    flow.valid[0][0][9][17] = false;
    const auto valid = resized(flow, 4, 8).valid;
    CHECK_FALSE(valid[0][0][1][2].item<bool>());
    CHECK(valid.sum().item<int64_t>() == 31);
}

TEST_CASE("what is hidden in the source is not valid") {
    const MovingSquare scene;
    const auto flow = checked_flow({.target = scene.now,
                                    .source = scene.before,
                                    .backward = scene.backward,
                                    .forward = scene.forward});
    // The ground that the square uncovers was behind it.
    CHECK_FALSE(flow.valid.slice(2, 10, 20).slice(3, 8, 12).any().item<bool>());
    // The square and the ground away from edges hold.
    CHECK(flow.valid.slice(2, 11, 19).slice(3, 13, 20).all().item<bool>());
    CHECK(flow.valid.slice(3, 0, 7).all().item<bool>());
    CHECK(flow.valid.slice(3, 24).all().item<bool>());
    // Forward, the ground in front of the square is about to be hidden.
    const auto forward = checked_forward_flow({.target = scene.now,
                                               .source = scene.before,
                                               .backward = scene.backward,
                                               .forward = scene.forward});
    CHECK_FALSE(forward.valid.slice(2, 10, 20).slice(3, 18, 22).any().item<bool>());
    CHECK(forward.valid.slice(2, 11, 19).slice(3, 9, 16).all().item<bool>());
}

TEST_CASE("each check finds what it is for") {
    const MovingSquare scene;
    const auto edge = motion_boundary(scene.backward);
    CHECK(edge.slice(2, 10, 20).slice(3, 21, 22).all().item<bool>());
    CHECK_FALSE(edge.slice(2, 11, 19).slice(3, 13, 21).any().item<bool>());

    const auto agreeing = consistent(shift(16, 16, 3, 0), shift(16, 16, -3, 0));
    CHECK(agreeing.all().item<bool>());
    CHECK_FALSE(consistent(shift(16, 16, 3, 0), shift(16, 16, 0, 0)).any().item<bool>());

    // Same motion, other look: only the photometric check can tell.
    const auto dark = torch::zeros({1, 3, 16, 16});
    const auto bright = torch::ones({1, 3, 16, 16});
    const auto still = shift(16, 16, 0, 0);
    const FlowEvidence evidence{dark, bright, still, still};
    CHECK_FALSE(checked_flow(evidence).valid.any().item<bool>());
    CHECK(checked_flow(evidence, {.photometric = 1}).valid.all().item<bool>());
}
