#include <catch2/catch.hpp>

#include "diffusion/unet.h"

namespace weft {
namespace {

Weights disturbed(const UnetConfig& config) {
    const Weights made = Weights::create(1);
    const Unet registers_parameters(config, made);
    const torch::NoGradGuard no_tape;
    NamedTensors tensors;
    for (const auto& [name, tensor] : made.tensors()) {
        tensors.emplace_back(name, tensor.detach() + 0.1 * torch::randn_like(tensor));
    }
    return Weights::of(tensors, "test");
}

double difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().max().item<double>();
}

}  // namespace

TEST_CASE("reused deep features leave only the outer layers to run", "[unet]") {
    torch::manual_seed(1);
    UnetConfig config;
    config.down_block_types = {"CrossAttnDownBlock2D", "DownBlock2D"};
    config.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D"};
    config.block_out_channels = {8, 16};
    config.layers_per_block = {GENERATE(1, 2)};
    config.norm_num_groups = 4;
    config.attention_head_dim = {1, 2};
    config.cross_attention_dim = {12};
    const Unet unet(config, disturbed(config));
    const torch::NoGradGuard inference;
    const torch::Tensor x = torch::randn({2, 4, 8, 8});
    const torch::Tensor text = torch::randn({2, 5, 12});
    const torch::Tensor t = torch::tensor(500.0);
    const torch::Tensor exact = unet(x, t, text);

    DeepFeatures deep;
    const UnetInputs with_deep{.deep = &deep};
    CHECK(torch::equal(unet(x, t, text, with_deep), exact));
    REQUIRE(deep.features.sizes() ==
            torch::IntArrayRef({2, config.layers_per_block[0] == 1 ? 16 : 8, 8, 8}));

    // The same input over its own features is the whole network again.
    deep.reuse = true;
    CHECK(difference(unet(x, t, text, with_deep), exact) < 1e-6);
    // Another input is seen by the outer layers, and only by them.
    const torch::Tensor other = x + 0.1 * torch::randn_like(x);
    const torch::Tensor kept = deep.features;
    const torch::Tensor approximate = unet(other, t, text, with_deep);
    CHECK(torch::equal(deep.features, kept));
    CHECK(difference(approximate, exact) > 1e-4);
    CHECK(difference(approximate, unet(other, t, text)) > 1e-6);
    CHECK_THROWS_WITH(unet(x.narrow(0, 0, 1), t, text.narrow(0, 0, 1), with_deep),
                      Catch::Contains("another batch"));
}

}  // namespace weft
