#include "temporal/smoothing.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "temporal/noise.h"

using namespace weft;

TEST_CASE("box means are those of a pooling window, whatever the size") {
    const auto noise = normal_noise({.seed = 1}, {2, 3, 17, 23});
    for (const int64_t radius : {0, 1, 4, 11, 40}) {
        INFO(radius);
        // Too large a window reaches past both borders: pad by hand, as pooling refuses to.
        const auto side = 2 * radius + 1;
        const auto ones = torch::ones({1, 1, 17, 23});
        const auto kernel = torch::ones({1, 1, side, side});
        const auto sums = at::conv2d(noise.view({6, 1, 17, 23}), kernel, {}, 1, radius);
        const auto counts = at::conv2d(ones, kernel, {}, 1, radius);
        const auto expected = (sums / counts).view({2, 3, 17, 23});
        CHECK((box_mean(noise, radius) - expected).abs().max().item<double>() < 1e-5);
    }
    CHECK(torch::equal(box_mean(noise, 0), noise));
}

TEST_CASE("a dilated mask grows by its pixels, in a square") {
    auto mask = torch::zeros({1, 1, 20, 20}, torch::kBool);
    mask[0][0][10][5] = true;
    auto expected = torch::zeros({1, 1, 20, 20}, torch::kBool);
    expected.slice(2, 7, 14).slice(3, 2, 9).fill_(true);
    CHECK(torch::equal(dilated(mask, 3), expected));
    CHECK_FALSE(dilated(torch::zeros_like(mask), 3).any().item<bool>());
}
