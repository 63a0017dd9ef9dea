#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>

#include "temporal/noise.h"
#include "temporal/sampling.h"
#include "temporal/shots.h"

using namespace weft;

namespace {

constexpr int64_t height = 72;
constexpr int64_t width = 128;

torch::Tensor layer(uint64_t seed, int64_t rows, int64_t columns, int64_t channels = 3) {
    return at::upsample_bicubic2d(normal_noise({.seed = seed}, {1, channels, rows, columns}),
                                  {2 * height, 2 * width}, false);
}

/// A number in [0, 1) that depends on the seed and a place in a list.
double chance(uint64_t seed, uint32_t which) {
    const auto bits = philox_4x32({which, 0, 0, 0}, {static_cast<uint32_t>(seed), 77});
    return bits[0] * 0x1p-32;
}

/// A filmed scene: large areas with hard borders, texture, a palette of its own; two things that
/// move through it; a hand-held camera that pans or zooms; a sensor with noise.
class Scene {
  public:
    explicit Scene(uint64_t seed) : seed_(seed) {
        const auto areas = (3 * layer(seed, 5, 8)).tanh();
        const auto texture = layer(seed + 1000, 36, 64, 1);
        const auto palette =
            0.3 + 0.4 * normal_noise({.seed = seed + 2000}, {1, 3, 1, 1}).sigmoid();
        ground_ = (palette + 0.16 * areas + 0.05 * texture).clamp(0.02, 0.98);
    }

    /// [3, 72, 128]
    torch::Tensor at(int64_t frame) const {
        const auto t = static_cast<double>(frame);
        auto seen = warp(ground_, camera(t), Sampling::bilinear)
                        .slice(2, height / 2, height / 2 + height)
                        .slice(3, width / 2, width / 2 + width)
                        .clone();
        for (uint32_t thing = 0; thing < 2; ++thing) {
            const auto side = 8 + static_cast<int64_t>(14 * chance(seed_, 10 + thing));
            const auto x = (chance(seed_, 20 + thing) + t * 0.02 * (thing == 0 ? 1 : -1)) *
                           static_cast<double>(width);
            const auto left = std::clamp<int64_t>(std::llround(x), 0, width - side);
            const auto top = static_cast<int64_t>(chance(seed_, 30 + thing) * (height - side));
            seen.slice(2, top, top + side)
                .slice(3, left, left + side)
                .fill_(0.1 + 0.8 * chance(seed_, 40 + thing));
        }
        const auto noise = normal_noise({.seed = seed_ + 3000, .frame = frame}, seen.sizes());
        return (seen + 0.02 * noise).clamp(0, 1)[0];
    }

  private:
    /// Pan and zoom at the seed's speed, and a shaking hand.
    torch::Tensor camera(double t) const {
        const auto grid = torch::stack(torch::broadcast_tensors({positions_along(ground_, 3),
                                                                 positions_along(ground_, 2)}))
                              .unsqueeze(0);
        const auto centre = torch::tensor({static_cast<double>(width), static_cast<double>(height)})
                                .view({1, 2, 1, 1});
        const double zoom = 0.006 * (chance(seed_, 1) - 0.5) * t;
        const auto drift =
            torch::tensor({2.4 * (chance(seed_, 2) - 0.5) * t + 0.8 * std::sin(1.7 * t),
                           1.2 * (chance(seed_, 3) - 0.5) * t + 0.6 * std::sin(2.3 * t + 1)})
                .to(torch::kFloat32)
                .view({1, 2, 1, 1});
        return (grid - centre.to(torch::kFloat32)) * zoom + drift;
    }

    uint64_t seed_;
    torch::Tensor ground_;  // [1, 3, 144, 256]
};

struct Score {
    int64_t hits = 0;
    int64_t found = 0;
    int64_t cuts = 0;

    double precision() const { return static_cast<double>(hits) / static_cast<double>(found); }

    double recall() const { return static_cast<double>(hits) / static_cast<double>(cuts); }
};

Score score(const std::vector<int64_t>& found, const std::vector<int64_t>& cuts) {
    Score result{.found = static_cast<int64_t>(found.size()),
                 .cuts = static_cast<int64_t>(cuts.size())};
    for (const int64_t cut : cuts) {
        result.hits += std::count(found.begin(), found.end(), cut);
    }
    return result;
}

/// What composes the clip: shots between cuts, each with something that looks like a cut and is
/// none, or with nothing.
struct Composition {
    CutDetector detector;
    std::vector<int64_t> cuts;
    int64_t frames = 0;
    int64_t flashes = 0;
    int64_t dissolves = 0;

    void put(const torch::Tensor& picture) {
        detector.put(picture);
        ++frames;
    }

    void stretch(const Scene& scene, int64_t from, int64_t to) {
        for (int64_t i = from; i < to; ++i) {
            put(scene.at(i));
        }
    }

    /// One to three frames, half burnt out, in a shot.
    void flash(const Scene& scene, int64_t from) {
        const int64_t length = 1 + flashes % 3;
        for (int64_t i = 0; i < length; ++i) {
            put((0.4 * scene.at(from + i) + 0.65).clamp(0, 1));
        }
        ++flashes;
        stretch(scene, from + length, from + length + 8);
    }

    /// Into another scene, in 6 to 14 frames.
    void dissolve(const Scene& scene, const Scene& into, int64_t from) {
        const int64_t length = 6 + 2 * (dissolves % 5);
        for (int64_t i = 1; i <= length; ++i) {
            const double part = static_cast<double>(i) / static_cast<double>(length + 1);
            put((1 - part) * scene.at(from + i) + part * into.at(i));
        }
        ++dissolves;
        stretch(into, length + 1, length + 10);
    }
};

}  // namespace

TEST_CASE("40 cuts among 10 flashes and 10 dissolves in filmed scenes") {
    Composition clip;
    for (uint64_t shot = 0; shot < 41; ++shot) {
        const Scene scene(100 + 2 * shot);
        if (shot > 0) {
            clip.cuts.push_back(clip.frames);
        }
        const int64_t length = 7 + static_cast<int64_t>(6 * chance(shot, 5));
        clip.stretch(scene, 0, length);
        if (shot % 4 == 1) {
            clip.flash(scene, length);
        } else if (shot % 4 == 3) {
            clip.dissolve(scene, Scene(101 + 2 * shot), length);
        }
    }
    REQUIRE(clip.cuts.size() == 40);
    REQUIRE(clip.flashes == 10);
    REQUIRE(clip.dissolves == 10);
    const auto result = score(clip.detector.finish(), clip.cuts);
    CAPTURE(result.hits, result.found);
    CHECK(result.precision() >= 0.95);
    CHECK(result.recall() >= 0.95);
}
