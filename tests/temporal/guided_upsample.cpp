#include "temporal/guided_upsample.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "temporal/noise.h"
#include "temporal/smoothing.h"

using namespace weft;

namespace {

constexpr std::array<int64_t, 2> full{120, 160};
constexpr std::array<int64_t, 2> half{60, 80};

/// Shapes with hard edges at all angles and some fine texture, [1, 3, 120, 160].
torch::Tensor shapes(uint64_t seed) {
    const auto blobs = normal_noise({.seed = seed}, {1, 3, 12, 16});
    const auto smooth = at::upsample_bicubic2d(blobs, full, false);
    const auto fine = normal_noise({.seed = seed + 100}, {1, 1, full[0], full[1]});
    return (0.5 + 0.25 * smooth.sign() + 0.03 * fine).clamp(0, 1);
}

torch::Tensor small(const torch::Tensor& picture) {
    return at::_upsample_bilinear2d_aa(picture, half, false);
}

torch::Tensor bicubic(const torch::Tensor& picture) {
    return at::upsample_bicubic2d(picture, full, false);
}

double psnr(const torch::Tensor& a, const torch::Tensor& b) {
    return -10 * std::log10((a - b).square().mean().item<double>());
}

torch::Tensor recoloured(const torch::Tensor& picture) {
    const auto grey = luma_of(picture);
    return torch::cat({1 - 0.8 * grey, grey.square(), 0.3 + 0.5 * grey}, 1);
}

}  // namespace

TEST_CASE("an edit with the source's edges becomes as sharp as the source") {
    const auto source = shapes(1);
    const auto truth = recoloured(source);
    const auto edit = small(truth);
    CHECK(psnr(guided_upsampled(edit, source), truth) > psnr(bicubic(edit), truth) + 4);
}

TEST_CASE("an edit with strokes of its own is enlarged as it is") {
    const auto source = shapes(1);
    const auto strokes = shapes(2);
    const auto edit = small(strokes);
    CHECK(psnr(guided_upsampled(edit, source), strokes) > psnr(bicubic(edit), strokes) - 0.2);
    // Hardly anything of the source comes in.
    CHECK(psnr(guided_upsampled(edit, source), bicubic(edit)) > 34);
}

TEST_CASE("texture that an edit has smoothed away does not come back") {
    const auto source = shapes(1);
    const auto flat = at::full({1, 3, full[0], full[1]}, 0.6);
    CHECK((guided_upsampled(small(flat), source) - flat).abs().max().item<double>() < 1e-4);
}

TEST_CASE("edges have no halos") {
    const auto source = shapes(3);
    const auto edit = small(recoloured(source));
    const auto most = [](const torch::Tensor& x) {
        return at::upsample_bilinear2d(at::max_pool2d(x, {3, 3}, {1, 1}, 1), full, false);
    };
    const auto made = guided_upsampled(edit, source, {.room = 0});
    CHECK((made <= most(edit) + 1e-5).all().item<bool>());
    CHECK((made >= -most(-edit) - 1e-5).all().item<bool>());
}

TEST_CASE("nothing to do and nothing asked for") {
    const auto source = shapes(1);
    const auto edit = small(shapes(2));
    CHECK(torch::equal(guided_upsampled(edit, source, {.strength = 0}), bicubic(edit)));
    CHECK(torch::equal(guided_upsampled(source, source), source));
    const auto shrunk = guided_upsampled(source, edit);
    CHECK(shrunk.sizes() == edit.sizes());
    CHECK(psnr(shrunk, small(source)) > 24);
}
