#include "io/media/chroma.h"

#include <catch2/catch.hpp>

namespace weft {
namespace {

constexpr ChromaStep both{.log2_width = 1, .log2_height = 1};

}  // namespace

TEST_CASE("chroma goes up and down again unchanged for every layout and siting") {
    for (const ChromaLocation location :
         {ChromaLocation::left, ChromaLocation::center, ChromaLocation::top_left,
          ChromaLocation::top, ChromaLocation::bottom_left, ChromaLocation::bottom}) {
        for (const ChromaStep step :
             {ChromaStep{0, 0}, ChromaStep{1, 0}, both, ChromaStep{2, 0}, ChromaStep{2, 2}}) {
            const torch::Tensor chroma = torch::rand({2, 12, 20});
            const torch::Tensor full = upsample_chroma(
                chroma, step, location, 12 << step.log2_height, 20 << step.log2_width);
            REQUIRE(full.size(1) == 12 << step.log2_height);
            CHECK(torch::allclose(downsample_chroma(full, step, location), chroma, 1e-5, 1e-5));
        }
    }
}

TEST_CASE("a colour ramp is placed where the siting says") {
    // A field that rises with the luma position: samples sit at 2k (left) or 2k + 0.5 (centre).
    const torch::Tensor x = torch::arange(40, torch::kFloat32).expand({1, 8, 40});
    const torch::Tensor y = torch::arange(40, torch::kFloat32).view({40, 1}).expand({1, 40, 8});
    const auto inner = [](const torch::Tensor& t, int64_t dim) { return t.narrow(dim, 6, 28); };
    const torch::Tensor left = x.slice(2, 0, 40, 2);
    CHECK(torch::allclose(inner(upsample_chroma(left, {1, 0}, ChromaLocation::left, 8, 40), 2),
                          inner(x, 2)));
    const torch::Tensor centre = left + 0.5;
    CHECK(torch::allclose(inner(upsample_chroma(centre, {1, 0}, ChromaLocation::center, 8, 40), 2),
                          inner(x, 2)));
    const torch::Tensor between_rows = y.slice(1, 0, 40, 2) + 0.5;
    CHECK(torch::allclose(
        inner(upsample_chroma(between_rows, {0, 1}, ChromaLocation::left, 40, 8), 1), inner(y, 1)));
    const torch::Tensor lower = y.slice(1, 1, 40, 2);
    CHECK(torch::allclose(inner(upsample_chroma(lower, {0, 1}, ChromaLocation::bottom, 40, 8), 1),
                          inner(y, 1)));
    const torch::Tensor down = downsample_chroma(x.contiguous(), {1, 0}, ChromaLocation::left);
    CHECK(torch::allclose(down.narrow(2, 3, 14), left.narrow(2, 3, 14)));
}

TEST_CASE("odd sizes round up and flat colour stays flat") {
    const torch::Tensor flat = torch::full({2, 9, 11}, 0.25);
    for (const ChromaLocation location : {ChromaLocation::left, ChromaLocation::center}) {
        const torch::Tensor down = downsample_chroma(flat, both, location);
        REQUIRE(down.sizes() == torch::IntArrayRef{2, 5, 6});
        CHECK(torch::allclose(down, torch::full({2, 5, 6}, 0.25)));
        CHECK(torch::allclose(upsample_chroma(down, both, location, 9, 11), flat));
    }
    const torch::Tensor one = torch::full({2, 1, 1}, 0.5);
    CHECK(torch::allclose(upsample_chroma(downsample_chroma(one, both, ChromaLocation::left), both,
                                          ChromaLocation::left, 1, 1),
                          one));
}

TEST_CASE("detail finer than the chroma grid is filtered, not folded") {
    // Alternating columns would fold to a constant of full strength without a low-pass filter.
    const torch::Tensor stripes =
        torch::arange(64, torch::kFloat32).remainder(2).mul(2).sub(1).expand({1, 4, 64});
    const torch::Tensor down =
        downsample_chroma(stripes.contiguous(), {1, 0}, ChromaLocation::left);
    CHECK(down.narrow(2, 4, 24).abs().max().item<double>() < 0.01);
}

}  // namespace weft
