#include "temporal/deflicker.h"

#include <ATen/Parallel.h>

#include <catch2/catch.hpp>

#include <functional>

#include "temporal/noise.h"
#include "tests/temporal/pictures.h"

using namespace weft;
using weft::tests::texture;

namespace {

constexpr int64_t height = 72;
constexpr int64_t width = 96;
constexpr int64_t frames = 14;

using Clip = std::vector<torch::Tensor>;

Clip drawn(const std::function<torch::Tensor(int64_t)>& draw) {
    Clip clip;
    for (int64_t i = 0; i < frames; ++i) {
        clip.push_back(draw(i));
    }
    return clip;
}

/// The clip after the pass, with guides if there are any.
Clip steady(const Clip& clip, const DeflickerOptions& options, const Clip& guides = {}) {
    Deflicker deflicker(options);
    Clip result;
    for (size_t i = 0; i < clip.size(); ++i) {
        if (auto frame =
                guides.empty() ? deflicker.put(clip[i]) : deflicker.put(clip[i], guides[i])) {
            result.push_back(*frame);
        }
    }
    for (auto& frame : deflicker.finish()) {
        result.push_back(frame);
    }
    REQUIRE(result.size() == clip.size());
    return result;
}

/// Factor of each frame and channel, 1 +- 8 %, [1, 3, 1, 1].
torch::Tensor flicker(int64_t frame) {
    return 1 + 0.08 * normal_noise({.seed = 5, .frame = frame}, {1, 3, 1, 1}).clamp(-2, 2);
}

torch::Tensor scene(double x) {
    return 0.2 + 0.5 * texture(height, width, x, 0);
}

/// Mean absolute change of the local mean from frame to frame.
double unsteadiness(const Clip& clip) {
    double sum = 0;
    for (size_t i = 1; i < clip.size(); ++i) {
        sum += at::adaptive_avg_pool2d(clip[i] - clip[i - 1], {6, 8}).abs().mean().item<double>();
    }
    return sum / static_cast<double>(clip.size() - 1);
}

double inner_mean_difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).slice(3, 12, -12).abs().mean().item<double>();
}

/// Contrast of the finest structure.
double sharpness(const torch::Tensor& picture) {
    const auto inner = picture.slice(3, 12, -12);
    return (inner.slice(3, 1) - inner.slice(3, 0, -1)).std().item<double>();
}

}  // namespace

TEST_CASE("strength 0 gives every frame back as it is") {
    const auto clip = drawn([](int64_t i) { return scene(i) * flicker(i); });
    const auto result = steady(clip, {.strength = 0, .detail = 0});
    for (size_t i = 0; i < clip.size(); ++i) {
        CHECK(torch::equal(result[i], clip[i]));
    }
}

TEST_CASE("a still clip whose light flickers becomes three times as steady") {
    const auto clip = drawn([](int64_t i) { return scene(0) * flicker(i); });
    const auto whole = unsteadiness(clip);
    CHECK(unsteadiness(steady(clip, {})) < whole / 3);
    const auto half = unsteadiness(steady(clip, {.strength = 0.5}));
    CHECK(half < 0.75 * whole);
    CHECK(half > 0.4 * whole);
}

TEST_CASE("a moving clip becomes steady and stays sharp") {
    constexpr double speed = 1.7;
    const auto clean = drawn([](int64_t i) { return scene(speed * static_cast<double>(i)); });
    const auto clip =
        drawn([](int64_t i) { return scene(speed * static_cast<double>(i)) * flicker(i); });
    const auto result = steady(clip, {.detail = 1});

    // What is left of the flicker: the change of the factor to the clean clip.
    const auto factors = [&](const Clip& of) {
        Clip ratio;
        for (size_t i = 0; i < of.size(); ++i) {
            ratio.push_back((of[i] / clean[i]).slice(3, 12, -12));
        }
        return unsteadiness(ratio);
    };
    CHECK(factors(result) < factors(clip) / 2.5);
    for (size_t i = 0; i < clip.size(); ++i) {
        INFO(i);
        CHECK(sharpness(result[i]) / sharpness(clean[i]) > 0.9);
        CHECK(sharpness(result[i]) / sharpness(clean[i]) < 1.15);
    }
    // A mean of five frames in place smears.
    const auto smeared = torch::cat(Clip(clip.begin() + 4, clip.begin() + 9)).mean(0, true);
    CHECK(sharpness(smeared) / sharpness(clean[6]) < 0.8);
}

TEST_CASE("grain that boils is calmed where detail is asked for") {
    const auto clip = drawn([](int64_t i) {
        return scene(0) + 0.02 * normal_noise({.seed = 7, .frame = i}, {1, 3, height, width});
    });
    const auto grain = [](const torch::Tensor& frame) {
        return (frame - scene(0)).std().item<double>();
    };
    CHECK(grain(steady(clip, {.detail = 1})[7]) < 0.65 * grain(clip[7]));
    CHECK(grain(steady(clip, {.detail = 0})[7]) > 0.97 * grain(clip[7]));
}

TEST_CASE("a steady fade and what the source does are no flicker") {
    const auto fade = [](int64_t i) { return 1 - 0.03 * static_cast<double>(i); };
    const auto clip = drawn([&](int64_t i) { return scene(0) * fade(i); });
    const auto result = steady(clip, {});
    for (size_t i = 2; i + 2 < clip.size(); ++i) {
        CHECK(inner_mean_difference(result[i], clip[i]) < 0.001);
    }

    // A lamp that is switched is in the source as well; flicker is not.
    const auto lamp = [](int64_t i) { return i < 7 ? 0.6 : 1.0; };
    const auto guides = drawn([&](int64_t i) { return scene(0) * lamp(i); });
    const auto edited = drawn([&](int64_t i) { return 0.9 * scene(0).flip(1) * lamp(i); });
    const auto kept = steady(edited, {}, guides);
    const auto unguided = steady(edited, {});
    CHECK(inner_mean_difference(kept[6], edited[6]) < 0.004);
    CHECK(inner_mean_difference(unguided[6], edited[6]) > 0.02);
    const auto flickering = drawn([&](int64_t i) { return edited[i] * flicker(i); });
    CHECK(unsteadiness(steady(flickering, {}, guides)) < 0.75 * unsteadiness(flickering));
}

TEST_CASE("shots are steadied apart, however short") {
    Deflicker deflicker({.reach = 3});
    CHECK(deflicker.finish().empty());
    CHECK_FALSE(deflicker.put(scene(0)).has_value());
    const auto one = deflicker.finish();
    REQUIRE(one.size() == 1);
    CHECK((one[0] - scene(0)).abs().max().item<double>() < 1e-6);

    // The same frames, whatever came before the cut.
    const auto run = [&] {
        Clip out;
        for (int64_t i = 0; i < 5; ++i) {
            if (auto frame = deflicker.put(scene(0) * flicker(i))) {
                out.push_back(*frame);
            }
        }
        CHECK(out.size() == 2);
        for (auto& frame : deflicker.finish()) {
            out.push_back(frame);
        }
        return out;
    };
    const auto first = run();
    const auto second = run();
    REQUIRE(first.size() == 5);
    for (size_t i = 0; i < first.size(); ++i) {
        CHECK(torch::equal(first[i], second[i]));
    }
}
