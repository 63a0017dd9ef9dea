#include "diffusion/packed.h"

#include <array>
#include <catch2/catch.hpp>

#include "diffusion/layers.h"
#include "diffusion/packed_conv.h"
#include "diffusion/phase_conv.h"
#include "diffusion/resnet.h"
#include "diffusion/unet.h"

namespace weft {
namespace {

double difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().max().item<double>();
}

// A map that is channels-last, as convolutions leave it.
torch::Tensor random_map(torch::IntArrayRef shape) {
    return torch::randn(shape).contiguous(torch::MemoryFormat::ChannelsLast);
}

// Weights with random numbers everywhere, also where training starts at zero or one.
Weights disturbed(const Weights& made) {
    const torch::NoGradGuard no_tape;
    NamedTensors tensors;
    for (const auto& [name, tensor] : made.tensors()) {
        tensors.emplace_back(name, tensor.detach() + 0.1 * torch::randn_like(tensor));
    }
    return Weights::of(tensors, "test");
}

}  // namespace

TEST_CASE("packed layers compute what the plain weights say", "[packed]") {
    torch::manual_seed(1);
    const torch::NoGradGuard inference;
    const torch::Tensor weight = torch::randn({24, 16});
    const torch::Tensor bias = torch::randn({24});
    const Weights weights = Weights::of({{"weight", weight}, {"bias", bias}}, "test");
    REQUIRE(can_pack(weight));
    const torch::Tensor x = torch::randn({2, 5, 16});
    const torch::Tensor expected = torch::linear(x, weight, bias);

    SECTION("linear") {
        const Linear layer(weights, 16, 24);
        const torch::Tensor added = torch::randn({2, 5, 24});
        CHECK(difference(layer(x), expected) < 1e-5);
        CHECK(difference(layer(x, added), expected + added) < 1e-5);
    }
    SECTION("gated GELU") {
        const Geglu layer(weights, 16, 12);
        const auto halves = expected.chunk(2, -1);
        CHECK(difference(layer(x), halves[0] * torch::gelu(halves[1])) < 1e-5);
    }
    SECTION("a pointwise convolution's weight") {
        const Weights conv =
            Weights::of({{"weight", weight.reshape({24, 16, 1, 1})}, {"bias", bias}}, "test");
        CHECK(difference(Linear(conv, 16, 24, {.pointwise = true})(x), expected) < 1e-5);
    }
}

TEST_CASE("packed convolutions compute what the plain weights say", "[packed]") {
    torch::manual_seed(2);
    const torch::NoGradGuard inference;
    const int64_t stride = GENERATE(1, 2);
    const torch::Tensor weight = torch::randn({8, 6, 3, 3});
    const torch::Tensor bias = torch::randn({8});
    const Conv2d layer(Weights::of({{"weight", weight}, {"bias", bias}}, "test"), 6, 8,
                       {.stride = stride});
    const torch::Tensor x = torch::randn({2, 6, 9, 7});  // not channels-last
    const torch::Tensor expected = torch::conv2d(x, weight, bias, stride, 1);
    const torch::Tensor added = torch::randn_like(expected);
    const torch::Tensor shift = torch::randn({8});
    CHECK(difference(layer(x), expected) < 1e-5);
    CHECK(difference(layer(x, added), expected + added) < 1e-5);
    CHECK(difference(layer.shifted(x, shift), expected + shift.reshape({8, 1, 1})) < 1e-5);

    const torch::Tensor pixel = torch::randn({8, 6, 1, 1});
    const Conv2d pointwise(Weights::of({{"weight", pixel}, {"bias", bias}}, "test"), 6, 8,
                           {.kernel = 1, .stride = stride});
    const torch::Tensor products = torch::conv2d(x, pixel, bias, stride);
    CHECK(difference(pointwise(x), products) < 1e-5);
    CHECK(difference(pointwise(x, torch::ones_like(products)), products + 1) < 1e-5);
    torch::Tensor sum = torch::ones_like(products, torch::MemoryFormat::ChannelsLast);
    pointwise.add_rows(sum, x);
    CHECK(difference(sum, products + 1) < 1e-5);
}

TEST_CASE("a packed convolution follows the sizes it meets", "[packed]") {
    torch::manual_seed(8);
    const torch::NoGradGuard inference;
    const torch::ScalarType dtype = GENERATE(torch::kFloat32, torch::kBFloat16);
    // Sizes that want different blocks on some processors: 48 and 32 of 288 channels.
    const torch::Tensor weight = torch::randn({288, 96, 3, 3}).mul_(0.03).to(dtype);
    if (!can_pack(weight)) {
        return;  // bf16 without oneDNN's kernels for it
    }
    const PackedConv2d packed(weight);
    CHECK(torch::equal(packed.weight(), weight));
    const double tolerance = dtype == torch::kFloat32 ? 1e-5 : 5e-2;
    for (const auto& [n, h, w] : {std::array<int64_t, 3>{2, 9, 16},
                                  {1, 32, 40},
                                  {2, 9, 16},
                                  {1, 1, 1},
                                  {1, 8, 8},
                                  {3, 5, 64},
                                  {1, 32, 40}}) {
        const torch::Tensor x = random_map({n, 96, h, w}).to(dtype);
        const torch::Tensor expected =
            torch::conv2d(x.to(torch::kFloat32), weight.to(torch::kFloat32), {}, 1, 1);
        const torch::Tensor y = packed(x, {}, {1, {1, 1}});
        CHECK(difference(y.to(torch::kFloat32), expected) < tolerance);
        // What it met before leaves no trace in the numbers.
        CHECK(torch::equal(y, PackedConv2d(weight)(x, {}, {1, {1, 1}})));
    }
    CHECK(torch::equal(packed.weight(), weight));
}

TEST_CASE("gradients pass through packed layers", "[packed]") {
    torch::manual_seed(3);
    const torch::Tensor weight = torch::randn({8, 6, 3, 3});
    const torch::Tensor bias = torch::randn({8});
    const Conv2d layer(Weights::of({{"weight", weight}, {"bias", bias}}, "test"), 6, 8);
    const torch::Tensor x = torch::randn({1, 6, 5, 5}, torch::requires_grad());
    const torch::Tensor same = x.detach().clone().requires_grad_();
    layer(x).square().sum().backward();
    torch::conv2d(same, weight, bias, 1, 1).square().sum().backward();
    CHECK(difference(x.grad(), same.grad()) < 1e-3);
    CHECK(x.grad().abs().max().item<double>() > 1);
}

TEST_CASE("doubling by phases is doubling and convolving", "[packed]") {
    torch::manual_seed(4);
    const torch::NoGradGuard inference;
    const torch::Tensor weight = torch::randn({8, 8, 3, 3});
    const torch::Tensor bias = torch::randn({8});
    const Weights scope = Weights::of({{"conv.weight", weight}, {"conv.bias", bias}}, "test");
    const torch::Tensor x = random_map({2, 8, 5, 3});
    CHECK(difference(PhaseConv2d(weight, bias).weight(), weight) < 1e-5);
    for (const auto& [height, width] : {std::pair<int64_t, int64_t>{10, 6}, {9, 6}, {10, 5}}) {
        const torch::Tensor larger = torch::upsample_nearest2d(x, {height, width});
        const torch::Tensor expected = torch::conv2d(larger, weight, bias, 1, 1);
        CHECK(difference(Upsample2D(scope, 8)(x, Upsample2D::Size{height, width}), expected) <
              2e-5);
    }
}

TEST_CASE("a group norm is one scale and shift a channel", "[packed]") {
    torch::manual_seed(5);
    const torch::NoGradGuard inference;
    const torch::Tensor weight = torch::randn({32});
    const torch::Tensor bias = torch::randn({32});
    const GroupNorm norm(Weights::of({{"weight", weight}, {"bias", bias}}, "test"), 4, 32, 1e-5);
    const double mean = GENERATE(0.0, 100.0);
    const torch::Tensor x = random_map({2, 32, 23, 19}) * 3 + mean;
    REQUIRE(can_apply_affine(x));
    const torch::Tensor expected = torch::silu(torch::group_norm(
        x.to(torch::kFloat64), 4, weight.to(torch::kFloat64), bias.to(torch::kFloat64), 1e-5));
    CHECK(difference(norm(x, Activation::silu), expected) < (mean == 0 ? 1e-5 : 1e-3));
    // The generic path, for other layouts.
    const ChannelAffine affine = norm.affine(x.contiguous());
    CHECK(difference(affine.scale, norm.affine(x).scale) < 1e-4);
    CHECK(difference(affine.shift, norm.affine(x).shift) < 2e-2);
}

TEST_CASE("the fused activation is exact far from zero and in bf16", "[packed]") {
    const torch::NoGradGuard inference;
    const torch::Tensor x = torch::linspace(-90, 90, 4 * 64 * 64)
                                .reshape({1, 4, 64, 64})
                                .contiguous(torch::MemoryFormat::ChannelsLast);
    const ChannelAffine identity{torch::ones({1, 4}), torch::zeros({1, 4})};
    const torch::Tensor exact = torch::silu(x.to(torch::kFloat64));
    const torch::Tensor scale = exact.abs() + 1e-30;
    const torch::Tensor error = (apply_affine(x, identity, AffineEnd::silu) - exact).abs() / scale;
    CHECK(error.masked_select(x > -80).max().item<double>() < 1e-6);
    const torch::Tensor half = x.to(torch::kBFloat16);
    CHECK(torch::equal(apply_affine(half, identity, AffineEnd::none), half));
    const torch::Tensor wide = torch::silu(half.to(torch::kFloat64));
    const torch::Tensor halved = apply_affine(half, identity, AffineEnd::silu);
    const torch::Tensor off = (halved - wide).abs() / (wide.abs() + 1e-30);
    CHECK(off.masked_select(half > -80).max().item<double>() <= 1.0 / 256);  // half a unit
}

TEST_CASE("a loaded unet answers as the one in training", "[packed]") {
    torch::manual_seed(6);
    UnetConfig config;
    config.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D"};
    config.up_block_types = {"CrossAttnUpBlock2D", "UpBlock2D"};
    config.block_out_channels = {8, 16};
    config.layers_per_block = {1};
    config.norm_num_groups = 4;
    config.attention_head_dim = {1, 2};
    config.cross_attention_dim = {12};
    const Weights made = Weights::create(7);
    { const Unet registers_parameters(config, made); }
    const Weights random = disturbed(made);
    const Weights copy = Weights::create(7);
    const Unet in_training(config, copy);
    {
        const torch::NoGradGuard no_tape;
        for (auto& [name, tensor] : copy.tensors()) {
            torch::Tensor parameter = tensor;
            parameter.copy_(random.at(name, tensor.sizes()));
        }
    }
    const torch::NoGradGuard inference;
    const int64_t size = GENERATE(8, 7);  // 7: the way up cannot simply double
    const torch::Tensor sample = torch::randn({2, 4, size, size});
    const torch::Tensor text = torch::randn({2, 5, 12});
    const torch::Tensor expected = in_training(sample, torch::tensor({500, 500}), text);
    const Unet loaded(config, random);
    CHECK(difference(loaded(sample, torch::tensor(500), text), expected) < 1e-4);
    CHECK(difference(loaded(sample, torch::tensor({500, 500}), text), expected) < 1e-4);
}

}  // namespace weft
