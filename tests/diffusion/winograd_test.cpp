#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "diffusion/packed_conv.h"
#include "diffusion/winograd.h"
#include "diffusion/winograd_conv.h"

namespace weft {
namespace {

constexpr ConvGeometry same_size{1, {1, 1}};

torch::Tensor random_map(torch::IntArrayRef shape) {
    return torch::randn(shape).contiguous(torch::MemoryFormat::ChannelsLast);
}

// Weights that keep the size of random numbers.
torch::Tensor random_weight(int64_t out, int64_t in) {
    return torch::randn({out, in, 3, 3}) / std::sqrt(9.0 * static_cast<double>(in));
}

torch::Tensor exact(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                    const ConvGeometry& geometry) {
    return torch::conv2d(x.to(torch::kFloat64), weight.to(torch::kFloat64),
                         bias.to(torch::kFloat64), 1, geometry.padding);
}

double largest_error(const torch::Tensor& y, const torch::Tensor& expected) {
    return (y.to(torch::kFloat64) - expected).abs().max().item<double>();
}

struct Sizes {
    int64_t frames, in, out, height, width;
};

// Whole and broken tiles; one to four vectors of channels in a part; slices of input channels that
// are all, some and not as many as the others; fewer tiles than rows of a product, and many blocks.
const std::vector<Sizes> all_sizes = {
    {1, 16, 16, 8, 8},    {2, 32, 48, 13, 9},  {1, 80, 64, 7, 30},   {3, 64, 32, 8, 12},
    {1, 144, 112, 5, 21}, {1, 32, 80, 61, 50}, {1, 528, 16, 46, 46}, {1, 16, 160, 1, 16}};

bool can_run() {
    return suits_winograd(torch::kFloat32, {16, 16, 3, 3}, same_size);
}

// Kernels of the processor's other vector unit are reached by no call of the library here.
struct Kernels {
    decltype(&winograd_spread_avx2) spread;
    decltype(&winograd_gather_avx2) gather;
};

std::vector<Kernels> kernels_here() {
    std::vector<Kernels> all;
#if defined(__x86_64__)
    const std::string unit = at::get_cpu_capability();
    if (unit == "AVX512" || unit == "AVX2") {
        all.push_back({winograd_spread_avx2, winograd_gather_avx2});
    }
    if (unit == "AVX512") {
        all.push_back({winograd_spread_avx512, winograd_gather_avx512});
    }
#endif
    return all;
}

}  // namespace

TEST_CASE("Winograd's convolution is the convolution", "[winograd]") {
    const torch::NoGradGuard inference;
    torch::manual_seed(1);
    if (!can_run()) {
        return;  // no vector unit it is written for
    }
    for (const Sizes& s : all_sizes) {
        INFO(s.frames << "x" << s.in << "->" << s.out << " at " << s.height << "x" << s.width);
        const torch::Tensor x = random_map({s.frames, s.in, s.height, s.width});
        const torch::Tensor weight = random_weight(s.out, s.in);
        const torch::Tensor bias = torch::randn({s.out});
        const torch::Tensor packed = winograd_weight(weight);
        CHECK(torch::equal(plain_of_winograd(packed), weight));
        const torch::Tensor expected = exact(x, weight, bias, same_size);
        const torch::Tensor y = winograd_conv2d(x, packed, bias, same_size);
        CHECK(largest_error(y, expected) < 5e-5);
        CHECK(y.is_contiguous(torch::MemoryFormat::ChannelsLast));
        CHECK(largest_error(winograd_conv2d(x, packed, {}, same_size) + bias.view({1, -1, 1, 1}),
                            expected) < 5e-5);

        const torch::Tensor other = torch::randn(expected.sizes());  // not channels-last
        CHECK(largest_error(winograd_conv2d(x, packed, bias, same_size, other), expected + other) <
              5e-5);
        torch::Tensor sum = random_map(expected.sizes());
        const torch::Tensor before = sum.clone();
        add_winograd_conv2d(sum, x, packed, bias, same_size);
        CHECK(largest_error(sum, expected + before) < 5e-5);
    }
}

TEST_CASE("Winograd's convolution works in stripes of rows", "[winograd]") {
    const torch::NoGradGuard inference;
    torch::manual_seed(2);
    if (!can_run()) {
        return;
    }
    const torch::Tensor x = random_map({1, 32, 14, 11});
    const torch::Tensor weight = random_weight(48, 32);
    const torch::Tensor bias = torch::randn({48});
    const torch::Tensor expected = exact(x, weight, bias, {1, {0, 1}});
    torch::Tensor out = random_map({1, 48, 20, 11});
    const torch::Tensor before = out.clone();
    torch::Tensor rows = out.narrow(2, 3, 12);
    add_winograd_conv2d(rows, x, winograd_weight(weight), bias, {1, {0, 1}});
    CHECK(largest_error(rows, expected + before.narrow(2, 3, 12)) < 5e-5);
    CHECK(torch::equal(out.narrow(2, 0, 3), before.narrow(2, 0, 3)));
    CHECK(torch::equal(out.narrow(2, 15, 5), before.narrow(2, 15, 5)));
}

TEST_CASE("a frame's convolution does not depend on threads or on the frames beside it",
          "[winograd]") {
    const torch::NoGradGuard inference;
    torch::manual_seed(3);
    if (!can_run()) {
        return;
    }
    const torch::Tensor x = random_map({5, 96, 22, 26});
    const torch::Tensor packed = winograd_weight(random_weight(112, 96));
    const torch::Tensor once = winograd_conv2d(x, packed, {}, same_size);
    CHECK(torch::equal(winograd_conv2d(x.narrow(0, 2, 1), packed, {}, same_size),
                       once.narrow(0, 2, 1)));
    const int threads = at::get_num_threads();
    for (const int count : {1, 3, 8}) {
        at::set_num_threads(count);
        CHECK(torch::equal(winograd_conv2d(x, packed, {}, same_size), once));
    }
    at::set_num_threads(threads);
}

TEST_CASE("every vector unit's kernels give the convolution", "[winograd]") {
    const torch::NoGradGuard inference;
    torch::manual_seed(4);
    const Sizes s{1, 48, 80, 19, 10};
    const torch::Tensor x = random_map({1, s.in, s.height, s.width});
    const torch::Tensor weight = random_weight(s.out, s.in);
    const torch::Tensor packed = winograd_weight(weight);
    const torch::Tensor bias = torch::randn({s.out});
    const torch::Tensor expected = exact(x, weight, bias, same_size);
    for (const Kernels& kernels : kernels_here()) {
        for (const int64_t depth : {s.in, int64_t{32}}) {
            torch::Tensor out = random_map(expected.sizes());
            const WinogradConv conv{.x = x.const_data_ptr<float>(),
                                    .height = s.height,
                                    .width = s.width,
                                    .in = s.in,
                                    .above = 1,
                                    .left = 1,
                                    .depth = depth,
                                    .weight = packed.const_data_ptr<float>(),
                                    .bias = bias.const_data_ptr<float>(),
                                    .added = nullptr,
                                    .out = out.mutable_data_ptr<float>(),
                                    .out_height = s.height,
                                    .out_width = s.width,
                                    .channels = s.out,
                                    .tile_rows = 5,
                                    .tile_columns = 3};
            const int64_t count = conv.tile_rows * conv.tile_columns;
            const int64_t stride = (count + winograd_rows) * depth;
            const torch::Tensor spread = torch::empty({2, winograd_points, stride});
            const torch::Tensor scratch = torch::empty({winograd_scratch(depth)});
            const WinogradTiles tiles{0, count, spread.mutable_data_ptr<float>(), stride};
            kernels.spread(conv, tiles, 0, count);
            kernels.gather(conv, tiles, {0, count, 0, s.out / winograd_group},
                           scratch.mutable_data_ptr<float>());
            CHECK(largest_error(out, expected) < 5e-5);
        }
    }
}

TEST_CASE("a weight goes from Winograd's order to oneDNN's and back", "[winograd]") {
    const torch::NoGradGuard inference;
    torch::manual_seed(5);
    const torch::Tensor weight = random_weight(32, 16);
    const torch::Tensor bias = torch::randn({32});
    const PackedConv2d conv(weight);
    const torch::Tensor x = random_map({1, 16, 9, 12});
    for (const int64_t stride : {1, 2, 1, 2}) {
        const ConvGeometry geometry{stride, {1, 1}};
        const torch::Tensor expected =
            torch::conv2d(x.to(torch::kFloat64), weight.to(torch::kFloat64),
                          bias.to(torch::kFloat64), stride, geometry.padding);
        CHECK(largest_error(conv(x, bias, geometry), expected) < 5e-5);
        CHECK(torch::equal(conv.weight(), weight));
    }
}

}  // namespace weft
