#include <ATen/autocast_mode.h>
#include <catch2/catch.hpp>

#include "diffusion/clip.h"
#include "diffusion/unet.h"
#include "io/files/error.h"

namespace weft {
namespace {

UnetConfig small_unet() {
    UnetConfig config;
    config.in_channels = 6;
    config.out_channels = 4;
    config.sample_size = 8;
    config.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D"};
    config.up_block_types = {"CrossAttnUpBlock2D", "UpBlock2D"};
    config.block_out_channels = {8, 16};
    config.layers_per_block = {1};
    config.norm_num_groups = 4;
    config.attention_head_dim = {1, 2};
    config.cross_attention_dim = {12};
    return config;
}

ClipTextConfig small_clip() {
    ClipTextConfig config;
    config.vocab_size = 20;
    config.hidden_size = 12;
    config.intermediate_size = 24;
    config.num_hidden_layers = 2;
    config.num_attention_heads = 2;
    config.max_position_embeddings = 7;
    config.eos_token_id = 2;
    return config;
}

// Plain gradient descent with normalised steps, enough for a toy fit.
void descend(const Weights& weights, double rate) {
    const torch::NoGradGuard no_tape;
    for (auto& [name, tensor] : weights.tensors()) {
        torch::Tensor parameter = tensor;
        const torch::Tensor& gradient = parameter.grad();
        if (gradient.defined()) {
            parameter.sub_(rate * gradient / (gradient.norm() + 1e-3));
            parameter.mutable_grad().zero_();
        }
    }
}

// Moves every parameter off its starting value, so that no branch is closed by a zero.
void disturb(const Weights& weights) {
    const torch::NoGradGuard no_tape;
    for (auto& [name, tensor] : weights.tensors()) {
        torch::Tensor parameter = tensor;
        parameter.add_(0.05 * torch::randn_like(parameter));
    }
}

// Names of the parameters that got none.
std::string without_gradient(const Weights& weights) {
    std::string names;
    for (const auto& [name, tensor] : weights.tensors()) {
        const torch::Tensor& gradient = tensor.grad();
        if (!gradient.defined() || gradient.abs().max().item<double>() == 0) {
            names += name + " ";
        }
    }
    return names;
}

double unet_loss(const Unet& unet, bool backward) {
    torch::manual_seed(3);
    const torch::Tensor x = torch::randn({3, 6, 8, 8});
    const torch::Tensor out =
        unet(x, torch::tensor({10.0, 400.0, 900.0}), torch::randn({3, 4, 12}));
    const torch::Tensor loss = (out - x.narrow(1, 0, 4)).square().mean();
    if (backward) {
        loss.backward();
    }
    return loss.item<double>();
}

}  // namespace

TEST_CASE("a new UNet starts at zero and learns", "[unet]") {
    const Weights weights = Weights::create(1);
    const Unet unet(small_unet(), weights);
    const torch::Tensor out =
        unet(torch::randn({1, 6, 8, 8}), torch::tensor(5), torch::randn({1, 4, 12}));
    CHECK(out.abs().max().item<double>() == 0);

    const double before = unet_loss(unet, true);
    for (int step = 0; step < 30; ++step) {
        descend(weights, 0.04);
        unet_loss(unet, true);
    }
    CHECK(unet_loss(unet, false) < 0.5 * before);
}

TEST_CASE("gradients reach every parameter", "[unet][clip]") {
    torch::manual_seed(1);
    SECTION("UNet") {
        const Weights weights = Weights::create(1);
        const Unet unet(small_unet(), weights);
        disturb(weights);
        unet_loss(unet, true);
        const std::string missing = without_gradient(weights);
        INFO(missing);
        CHECK(missing.empty());
    }
    SECTION("text encoder") {
        const Weights weights = Weights::create(2);
        const ClipTextModel model(small_clip(), weights);
        const torch::Tensor ids = torch::arange(14).reshape({2, 7});
        model(ids).pooled.square().sum().backward();
        const std::string prefix = "text_model.";
        const std::string missing = without_gradient(weights);
        INFO(missing);
        CHECK(missing.empty());
        CHECK(weights.tensors().front().first.starts_with(prefix));
    }
}

TEST_CASE("created parameters stay the tensors their layers use", "[layers]") {
    const Weights weights = Weights::create(1);
    const Conv2d conv(weights.scope("conv"), 3, 5);
    const torch::Tensor x = torch::randn({1, 3, 4, 4});
    const torch::NoGradGuard no_tape;
    for (auto& [name, tensor] : weights.tensors()) {
        torch::Tensor parameter = tensor;
        parameter.zero_();
    }
    CHECK(conv(x).abs().max().item<double>() == 0);
    CHECK(conv(x).is_contiguous(torch::MemoryFormat::ChannelsLast));
}

TEST_CASE("networks train under CPU autocast", "[unet]") {
    const Weights weights = Weights::create(1);
    const Unet unet(small_unet(), weights);
    disturb(weights);
    const double exact = unet_loss(unet, false);
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, torch::kBFloat16);
    const double rounded = unet_loss(unet, true);
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
    CHECK(rounded == Approx(exact).epsilon(0.05));
    const std::string missing = without_gradient(weights);
    INFO(missing);
    CHECK(missing.empty());
}

TEST_CASE("the text encoder is causal", "[clip]") {
    const Weights weights = Weights::create(2);
    const ClipTextModel model(small_clip(), weights);
    const torch::NoGradGuard inference;
    torch::Tensor ids = torch::arange(7).reshape({1, 7});
    const torch::Tensor before = model(ids).last_hidden_state;
    ids[0][5] = 19;
    const torch::Tensor after = model(ids).last_hidden_state;
    CHECK(after.narrow(1, 0, 5).allclose(before.narrow(1, 0, 5), 1e-5, 1e-6));
    CHECK_FALSE(after.narrow(1, 5, 2).allclose(before.narrow(1, 5, 2), 1e-5, 1e-6));
}

TEST_CASE("what weft cannot build is refused by key", "[unet]") {
    const auto [text, words] = GENERATE(table<std::string, std::string>({
        {R"({"down_block_types": ["AttnDownBlock2D"], "up_block_types": ["UpBlock2D"], "block_out_channels": [32]})",
         "AttnDownBlock2D"},
        {R"({"encoder_hid_dim_type": "text_proj"})", "encoder_hid_dim_type"},
        {R"({"block_out_channels": [320, 640]})", "block_out_channels"},
        {R"({"block_out_channels": [320, 640, 1280, 1281]})", "norm groups"},
        {R"({"attention_head_dim": 7})", "attention_head_dim"},
        {R"({"dual_cross_attention": true})", "dual_cross_attention"},
        {R"({"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"})", "mid_block_type"},
        {R"({"addition_embed_type": "text_time"})", "addition_time_embed_dim"},
        {R"({"act_fn": "tanh"})", "tanh"},
        {R"({"_class_name": "SD3Transformer2DModel"})", "SD3Transformer2DModel"},
    }));
    INFO(text);
    CHECK_THROWS_WITH(read_unet_config(Config::parse(text, "config.json")),
                      Catch::Contains("config.json") && Catch::Contains(words));
}

TEST_CASE("weights of another shape are refused by name", "[unet]") {
    const Weights made = Weights::create(1);
    const Unet unet(small_unet(), made);
    UnetConfig other = small_unet();
    other.in_channels = 7;
    CHECK_THROWS_WITH(Unet(other, Weights::of(made.tensors(), "file")),
                      Catch::Contains("conv_in.weight"));
}

}  // namespace weft
