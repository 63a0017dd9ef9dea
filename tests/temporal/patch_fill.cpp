#include "temporal/patch_fill.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <catch2/catch.hpp>

#include "temporal/smoothing.h"

using namespace weft;

namespace {

constexpr int64_t height = 96;
constexpr int64_t width = 128;

/// Areas with borders and texture, wider than the frame, seen from x on, [1, 3, 96, 128].
torch::Tensor scene(int64_t x) {
    const auto areas = normal_noise({.seed = 1}, {1, 3, 8, 16});
    const auto fine = normal_noise({.seed = 2}, {1, 1, 48, 96});
    const auto all = 0.5 + 0.2 * at::upsample_bicubic2d(areas, {height, 2 * width}, false).sign() +
                     0.05 * at::upsample_bicubic2d(fine, {height, 2 * width}, false);
    return all.slice(3, x, x + width).clamp(0, 1).contiguous();
}

/// An edit with a truth: a colour lookup and a blur.
torch::Tensor edited(const torch::Tensor& picture) {
    const auto looked_up =
        torch::cat({picture.narrow(1, 2, 1).sqrt(), 0.9 - 0.8 * picture.narrow(1, 0, 1),
                    picture.narrow(1, 1, 1).square()},
                   1);
    return box_mean(looked_up, 1);
}

torch::Tensor square_holes() {
    auto holes = torch::zeros({1, 1, height, width}, torch::kBool);
    holes.slice(2, 20, 44).slice(3, 24, 56).fill_(true);
    holes.slice(2, 60, 90).slice(3, 80, 96).fill_(true);
    return holes;
}

/// The edit of a frame with grey holes.
HoledEdit holed(const torch::Tensor& frame) {
    const auto holes = square_holes();
    return {frame, edited(frame).masked_fill(holes, 0.5), holes};
}

/// Holes filled smoothly from their surroundings.
torch::Tensor blur_filled(const HoledEdit& edit) {
    auto result = edit.picture;
    const auto known = (~edit.holes).to(torch::kFloat32);
    for (const int64_t reach : {24, 12, 6}) {
        const auto around =
            box_mean(edit.picture * known, reach) / box_mean(known, reach).clamp_min(1e-3);
        result = torch::where(edit.holes & (box_mean(known, reach) > 0.05), around, result);
    }
    return result;
}

double error_in_holes(const torch::Tensor& made, const torch::Tensor& truth) {
    const auto holes = square_holes().to(torch::kFloat32);
    return ((made - truth).abs().mean(1, true) * holes).sum().item<double>() /
           holes.sum().item<double>();
}

}  // namespace

TEST_CASE("a known edit is recovered in holes from the keys' edits") {
    const auto frame = scene(30);
    const auto edit = holed(frame);
    const std::array keys{Exemplar{scene(0), edited(scene(0))},
                          Exemplar{scene(61), edited(scene(61))}};
    const auto made = PatchFiller(keys)(edit, {.seed = 3});
    CHECK(made.sizes() == frame.sizes());
    const auto blurred = error_in_holes(blur_filled(edit), edited(frame));
    CHECK(error_in_holes(made, edited(frame)) < blurred / 6);
    CHECK(error_in_holes(made, edited(frame)) < 0.015);
    // Other pixels stay as they are.
    CHECK(torch::equal(made.masked_fill(edit.holes, 0), edit.picture.masked_fill(edit.holes, 0)));
}

TEST_CASE("what no key shows is filled with what looks alike") {
    // Mirrored keys: no patch is the same, but colours go with colours.
    const auto frame = scene(30);
    const auto edit = holed(frame);
    const std::array keys{Exemplar{scene(30).flip(3), edited(scene(30)).flip(3)}};
    const auto made = PatchFiller(keys)(edit, {.seed = 3});
    CHECK(error_in_holes(made, edited(frame)) <
          error_in_holes(blur_filled(edit), edited(frame)) / 2);
}

TEST_CASE("filling depends on its key and on nothing else") {
    const auto edit = holed(scene(30));
    const std::array keys{Exemplar{scene(0), edited(scene(0))}};
    const auto threads = at::get_num_threads();
    at::set_num_threads(1);
    const auto alone = PatchFiller(keys)(edit, {.seed = 3, .frame = 7});
    at::set_num_threads(3);
    CHECK(torch::equal(alone, PatchFiller(keys)(edit, {.seed = 3, .frame = 7})));
    at::set_num_threads(threads);
}

TEST_CASE("odd, small and whole pictures can be filled") {
    const auto all = torch::ones({1, 1, 33, 47}, torch::kBool);
    const auto source = scene(10).slice(2, 0, 33).slice(3, 0, 47).contiguous();
    const std::array keys{Exemplar{scene(0), edited(scene(0))}};
    const auto made = PatchFiller(keys)({source, torch::zeros_like(source), all}, {.seed = 1});
    CHECK(torch::isfinite(made).all().item<bool>());
    CHECK((made - edited(source)).slice(2, 2, -2).slice(3, 2, -2).abs().mean().item<double>() <
          0.03);

    const HoledEdit whole{source, edited(source), torch::zeros_like(all)};
    CHECK(torch::equal(PatchFiller(keys)(whole, {.seed = 1}), whole.picture));
}
