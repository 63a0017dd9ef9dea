#include "temporal/key_frames.h"

#include <catch2/catch.hpp>

#include "tests/temporal/pictures.h"

using namespace weft;
using weft::tests::shift;

namespace {

constexpr int64_t height = 24;
constexpr int64_t width = 40;

FlowField moved(double dx) {
    const auto offset = shift(height, width, dx, 0);
    return {offset, in_bounds(offset)};
}

/// A camera that pans by `dx` pixels a frame: what is at p now was at p + dx.
FlowPair pan(double dx) {
    return {.backward = moved(dx), .forward = moved(-dx)};
}

using Keys = std::vector<int64_t>;

}  // namespace

TEST_CASE("keys at fixed distances, and at the last frame") {
    const auto none = [](int64_t) -> FlowPair { throw std::logic_error("motion was asked for"); };
    CHECK(key_frames(10, 31, none, {.every = 8}) == Keys{10, 18, 26, 30});
    CHECK(key_frames(0, 17, none, {.every = 8}) == Keys{0, 8, 16});
    CHECK(key_frames(5, 6, none, {.every = 8}) == Keys{5});
    CHECK(key_frames(5, 7, none, {.every = 8}) == Keys{5, 6});
    CHECK(key_frames(0, 4, none, {.every = 1}) == Keys{0, 1, 2, 3});
}

TEST_CASE("a still scene needs as few keys as are allowed") {
    const auto still = [](int64_t) { return pan(0); };
    const KeyFrameOptions options{.least = 3, .most = 10};
    CHECK(key_frames(100, 131, still, options) == Keys{100, 110, 120, 130});
    CHECK(key_frames(0, 1, still, options) == Keys{0});
    CHECK(key_frames(0, 2, still, options) == Keys{0, 1});
    // A rest of 2 frames would be shorter than 3: two intervals of 6 instead of 10 and 2.
    CHECK(key_frames(0, 13, still, options) == Keys{0, 6, 12});
}

TEST_CASE("the faster a scene leaves the frame, the closer the keys") {
    // After n frames 40 - n dx of 40 columns are still seen: 0.7 of them where n dx <= 12.
    const KeyFrameOptions options{.least = 2, .most = 20, .coverage = 0.7};
    const auto slow = key_frames(
        0, 61, [](int64_t) { return pan(1); }, options);
    CHECK(slow == Keys{0, 12, 24, 36, 48, 60});
    const auto fast = key_frames(
        0, 25, [](int64_t) { return pan(-3); }, options);
    CHECK(fast == Keys{0, 4, 8, 12, 16, 20, 24});
    // Never closer than allowed.
    const auto wild = key_frames(
        0, 9, [](int64_t) { return pan(30); }, options);
    CHECK(wild == Keys{0, 2, 4, 6, 8});
}

TEST_CASE("a key stands where the flow breaks") {
    // Still, but for one jump between frames 12 and 13.
    const auto motion = [](int64_t frame) { return pan(frame == 13 ? 25 : 0); };
    CHECK(key_frames(0, 31, motion, {.least = 1, .most = 30}) == Keys{0, 12, 13, 30});
}

TEST_CASE("coverage is lost in bounds and to contradiction") {
    CHECK(covered_share(pan(0)) == 1);
    CHECK(covered_share(pan(10)) == Approx(0.75));
    auto contradiction = pan(0);
    contradiction.forward.offset.slice(3, 0, 20).fill_(3);
    CHECK(covered_share(contradiction) == Approx(0.5));
}

TEST_CASE("a planner starts anew after each shot") {
    KeyFramePlanner planner({.least = 2, .most = 5});
    for (int64_t frame = 1; frame < 8; ++frame) {
        planner.put(pan(0));
    }
    CHECK(planner.finish() == Keys{0, 5, 7});
    planner.put(pan(0));
    CHECK(planner.finish() == Keys{0, 1});
    CHECK(planner.finish() == Keys{0});
}
