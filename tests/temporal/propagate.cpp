#include "temporal/propagate.h"

#include <ATen/Parallel.h>

#include <catch2/catch.hpp>

#include "temporal/noise.h"
#include "tests/temporal/pictures.h"

using namespace weft;
using weft::tests::shift;
using weft::tests::texture;

namespace {

constexpr int64_t height = 96;
constexpr int64_t width = 128;

FlowField way(double dx, double dy) {
    const auto offset = shift(height, width, dx, dy);
    return {offset, in_bounds(offset)};
}

FlowField still() {
    return identity_flow(1, height, width);
}

torch::Tensor plain(double value) {
    return torch::full({1, 3, height, width}, value);
}

/// A look-up of colours: an edit whose truth is known for every frame.
torch::Tensor recoloured(const torch::Tensor& picture) {
    return torch::cat({picture.narrow(1, 2, 1).sqrt(), 0.9 - 0.8 * picture.narrow(1, 0, 1),
                       picture.narrow(1, 1, 1).square()},
                      1);
}

torch::Tensor inner(const torch::Tensor& x) {
    return x.slice(2, 12, -12).slice(3, 12, -12);
}

double mean_difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (inner(a) - inner(b)).abs().mean().item<double>();
}

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().max().item<double>();
}

/// Grain on grey, different for every seed.
torch::Tensor grain(uint64_t seed) {
    return 0.5 + 0.05 * normal_noise({.seed = seed}, {1, 1, height, width}).expand({1, 3, -1, -1});
}

}  // namespace

TEST_CASE("a frame between two keys gets the edit that it would have had") {
    // The camera moves by 2.3 and -0.6 pixels a frame; the frame is 3 after a and 5 before b.
    const auto a = texture(height, width);
    const auto b = texture(height, width, 8 * 2.3, 8 * -0.6);
    const auto frame = texture(height, width, 3 * 2.3, 3 * -0.6);
    const std::array donors{
        Donor{recoloured(a), a, way(3 * 2.3, 3 * -0.6), 3},
        Donor{recoloured(b), b, way(-5 * 2.3, 5 * 0.6), 5},
    };
    const auto made = propagated(frame, donors);
    CHECK(made.picture.sizes() == frame.sizes());
    CHECK(mean_difference(made.picture, recoloured(frame)) < 0.004);
    CHECK_FALSE(inner(made.holes).any().item<bool>());
}

TEST_CASE("a frame next to a key arrives at the key's edit") {
    const auto source = texture(height, width);
    const std::array donors{
        Donor{recoloured(source), source, still(), 1e-6},
        Donor{grain(1), source, still(), 8},
    };
    CHECK(largest_difference(propagated(source, donors).picture, recoloured(source)) < 1e-3);
    CHECK(largest_difference(propagated(source, std::span(donors).first(1)).picture,
                             recoloured(source)) < 1e-6);
}

TEST_CASE("edits that agree are mixed in proportion to time") {
    const auto source = texture(height, width);
    for (int64_t t = 1; t < 8; ++t) {
        const std::array donors{
            Donor{plain(0.50), source, still(), static_cast<double>(t)},
            Donor{plain(0.52), source, still(), static_cast<double>(8 - t)},
        };
        const double expected = 0.5 + 0.02 * static_cast<double>(t) / 8;
        CHECK(largest_difference(propagated(source, donors).picture, plain(expected)) < 1e-5);
    }
}

TEST_CASE("edits in conflict are chosen from, not shown through each other") {
    // Each key's edit has a dark bar; the other does not know of it. The frame looks only a little
    // like both keys.
    const auto source = texture(height, width);
    const auto frame = source + 0.5 * texture(height, width, 40, 40) - 0.25;
    auto a = plain(0.8);
    auto b = plain(0.8);
    a.slice(3, 30, 50).fill_(0.2);
    b.slice(3, 70, 90).fill_(0.2);
    const auto at = [&](double from_a, const torch::Tensor& seen, const PropagateOptions& options) {
        const std::array donors{Donor{a, source, still(), from_a},
                                Donor{b, source, still(), 8 - from_a}};
        return propagated(seen, donors, options).picture;
    };
    const PropagateOptions lit{.carry = 0};
    for (const double from_a : {1.0, 2.0}) {
        CHECK(mean_difference(at(from_a, frame, lit), a) < 0.02);
        CHECK(mean_difference(at(8 - from_a, frame, lit), b) < 0.02);
    }
    // A plain mean at 3 of 8 is off by 3/8 of both bars; where the frame looks just like both keys
    // they dissolve, so that nothing jumps.
    const auto doubted = mean_difference(at(3, frame, lit), a);
    const auto trusted = mean_difference(at(3, source, lit), a);
    const auto mean = mean_difference(at(3, source, {.carry = 0, .trusted = 1}), a);
    CHECK(doubted < 0.6 * trusted);
    CHECK(trusted < 0.8 * mean);
}

TEST_CASE("a mean of two textures keeps their contrast") {
    const auto source = texture(height, width);
    const auto deviation = [](const torch::Tensor& x) { return inner(x).std().item<double>(); };
    const std::array donors{Donor{grain(1), source, still(), 4},
                            Donor{grain(2), source, still(), 4}};
    CHECK(deviation(propagated(source, donors, {.contrast = 0}).picture) ==
          Approx(0.05 / std::sqrt(2)).epsilon(0.03));
    CHECK(deviation(propagated(source, donors).picture) == Approx(0.05).epsilon(0.05));

    // Equal ones need nothing and get nothing.
    const std::array same{Donor{grain(1), source, still(), 3}, Donor{grain(1), source, still(), 5}};
    CHECK(largest_difference(propagated(source, same).picture, grain(1)) < 1e-3);
}

TEST_CASE("the source's change of brightness is carried over, within limits") {
    const auto key = 0.5 * texture(height, width);
    const auto made = [&](double gain, const PropagateOptions& options) {
        const std::array donors{Donor{plain(0.3), key, still(), 4}};
        return propagated(gain * key, donors, options).picture.mean().item<double>() / 0.3;
    };
    CHECK(made(1, {}) == Approx(1));
    CHECK(made(1.3, {}) == Approx(1.3).epsilon(0.03));
    CHECK(made(0.8, {}) == Approx(0.8).epsilon(0.03));
    CHECK(made(1.3, {.carry = 0.5}) == Approx(1.15).epsilon(0.02));
    CHECK(made(1.3, {.carry = 0}) == Approx(1));
    CHECK(made(1.9, {.brightness = {.most_gain = 1.25}}) == Approx(1.25).epsilon(0.01));
    CHECK(made(0.3, {.brightness = {.most_gain = 1.25}}) == Approx(0.8).epsilon(0.01));
}

TEST_CASE("what one key does not see comes from the other, with a soft seam") {
    const auto source = texture(height, width);
    auto from_a = still();
    auto from_b = still();
    from_a.valid.slice(3, 60, 100).fill_(false);
    from_b.valid.slice(3, 90, 120).fill_(false);
    const std::array donors{Donor{plain(0.50), source, from_a, 1},
                            Donor{plain(0.53), source, from_b, 7}};
    const auto made = propagated(source, donors);
    auto holes = torch::zeros({1, 1, height, width}, torch::kBool);
    holes.slice(3, 90, 100).fill_(true);
    CHECK(torch::equal(made.holes, holes));

    const auto row = made.picture[0][0][40];
    CHECK(row[20].item<double>() == Approx(0.5 + 0.03 / 8).margin(1e-4));
    CHECK(row[75].item<double>() == Approx(0.53).margin(1e-4));
    CHECK(row[110].item<double>() == Approx(0.50).margin(1e-4));
    // From 0.504 to 0.53 within the seam, in small steps.
    const auto steps = (row.slice(0, 1, 89) - row.slice(0, 0, 88)).abs();
    CHECK(steps.max().item<double>() < 0.012);
}

TEST_CASE("a donor is not believed where it does not look like the frame") {
    // Something dark stands in the nearer key, and the flow did not notice.
    const auto frame = 0.5 + 0.2 * texture(height, width);
    auto key = frame.clone();
    key.slice(2, 40, 60).slice(3, 50, 74).fill_(0.1);
    auto edit = plain(0.8);
    edit.slice(2, 40, 60).slice(3, 50, 74).fill_(0.1);
    const std::array donors{Donor{edit, key, still(), 1}, Donor{plain(0.8), frame, still(), 7}};
    const auto made = propagated(frame, donors, {.carry = 0}).picture;
    CHECK(largest_difference(made, plain(0.8)) < 0.05);
    CHECK(largest_difference(propagated(frame, donors, {.carry = 0, .look = 100}).picture,
                             plain(0.8)) > 0.6);
}

TEST_CASE("one warp of half a pixel keeps fine detail") {
    const auto x = torch::arange(width, torch::kFloat32).view({1, 1, 1, width});
    const auto waves = [&](double moved) {  // four pixels long
        return (0.5 + 0.3 * torch::sin((x + moved) * (M_PI / 2))).expand({1, 3, height, width});
    };
    const auto source = texture(height, width);
    const std::array donors{Donor{waves(0).contiguous(), source, way(0.5, 0), 1}};
    const auto made = propagated(source, donors, {.carry = 0}).picture;
    CHECK(inner(made).std().item<double>() / inner(waves(0)).std().item<double>() > 0.95);
}

TEST_CASE("propagation does not depend on the number of threads") {
    const auto frame = texture(height, width, 3, 1);
    const std::array donors{Donor{grain(3), texture(height, width), way(3, 1), 3},
                            Donor{grain(4), texture(height, width, 8, 0), way(-5, 1), 5}};
    const auto threads = at::get_num_threads();
    at::set_num_threads(1);
    const auto alone = propagated(frame, donors);
    at::set_num_threads(3);
    const auto shared = propagated(frame, donors);
    at::set_num_threads(threads);
    CHECK(torch::equal(alone.picture, shared.picture));
    CHECK(torch::equal(alone.holes, shared.holes));
}
