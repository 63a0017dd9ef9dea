#include "temporal/shots.h"

#include <catch2/catch.hpp>

#include "temporal/noise.h"

using namespace weft;

namespace {

/// A scene of blobs, wider than the frame, that a camera pans over: [3, 60, 160].
torch::Tensor scene(uint64_t seed) {
    const auto coarse = normal_noise({.seed = seed}, {1, 3, 8, 20});
    const auto fine = normal_noise({.seed = seed + 1000}, {1, 3, 30, 80});
    return (0.5 + 0.15 * at::upsample_bicubic2d(coarse, {60, 160}, false) +
            0.08 * at::upsample_bicubic2d(fine, {60, 160}, false))
        .clamp(0, 1)[0];
}

/// What the camera sees `frame` frames after it began, [3, 60, 106].
torch::Tensor view(uint64_t seed, int64_t frame) {
    const int64_t x = (3 * frame) % 50;
    return scene(seed).slice(2, x, x + 106);
}

/// A clip composed shot by shot, with what should be found.
struct Clip {
    CutDetector detector;
    std::vector<int64_t> cuts;
    int64_t frames = 0;

    void put(const torch::Tensor& picture) {
        detector.put(picture);
        ++frames;
    }

    void shot(uint64_t seed, int64_t length, int64_t from = 0) {
        for (int64_t i = 0; i < length; ++i) {
            put(view(seed, from + i));
        }
    }

    void cut() { cuts.push_back(frames); }

    void flash(uint64_t seed, int64_t length, int64_t from) {
        for (int64_t i = 0; i < length; ++i) {
            put((view(seed, from + i) * 0.3 + 0.8).clamp(0, 1));
        }
    }

    void dissolve(uint64_t a, uint64_t b, int64_t length, int64_t from) {
        for (int64_t i = 1; i <= length; ++i) {
            const double part = static_cast<double>(i) / static_cast<double>(length + 1);
            put((1 - part) * view(a, from + i) + part * view(b, i));
        }
    }
};

}  // namespace

TEST_CASE("cuts are found among flashes and dissolves") {
    // 40 cuts; every fourth shot has a flash, every fourth dissolves into another.
    Clip clip;
    for (uint64_t shot = 0; shot < 41; ++shot) {
        const uint64_t seed = 2 * shot + 1;
        if (shot > 0) {
            clip.cut();
        }
        clip.shot(seed, 10);
        if (shot % 4 == 1) {
            clip.flash(seed, 1 + static_cast<int64_t>(shot) % 3, 10);
        } else if (shot % 4 == 3) {
            clip.dissolve(seed, seed + 1, 8, 10);
            clip.shot(seed + 1, 8, 8);
            continue;
        }
        clip.shot(seed, 8, 12);
    }
    CHECK(clip.cuts.size() == 40);
    CHECK(clip.detector.finish() == clip.cuts);
}

TEST_CASE("fades and changes of light are no cuts") {
    Clip clip;
    clip.shot(1, 10);
    for (int64_t i = 1; i <= 12; ++i) {  // out to black and in from it
        clip.put(view(1, 10 + i) * (1 - static_cast<double>(i) / 12));
    }
    for (int64_t i = 1; i <= 12; ++i) {
        clip.put(view(2, i) * (static_cast<double>(i) / 12));
    }
    clip.shot(2, 10, 13);
    for (int64_t i = 0; i < 10; ++i) {  // the lamp goes out
        clip.put(view(2, 23 + i) * 0.5);
    }
    CHECK(clip.detector.finish().empty());
}

TEST_CASE("a cut to black and one from it are cuts") {
    Clip clip;
    clip.shot(1, 10);
    for (int64_t i = 0; i < 10; ++i) {
        clip.put(torch::zeros({3, 60, 106}));
    }
    clip.shot(2, 10);
    CHECK(clip.detector.finish() == std::vector<int64_t>{10, 20});
}

TEST_CASE("cuts near the ends are found, and a detector starts anew") {
    Clip clip;
    clip.shot(1, 2);
    clip.cut();
    clip.shot(2, 12);
    clip.cut();
    clip.shot(3, 2);
    CHECK(clip.detector.finish() == clip.cuts);
    CHECK(clip.detector.finish().empty());
    clip.detector.put(view(1, 0));
    CHECK(clip.detector.finish().empty());
}
