#include "io/files/weights.h"

#include <catch2/catch.hpp>

#include "tests/io/files/scratch.h"

namespace weft {

namespace {

NamedTensors sample() {
    return {{"unet.conv.weight", at::arange(12).to(torch::kFloat16).reshape({3, 4})},
            {"unet.conv.bias", at::ones({3})},
            {"ids", at::arange(5)}};
}

}  // namespace

TEST_CASE("loaded weights are converted, checked and counted") {
    const auto weights = Weights::of(sample(), "memory");
    const auto conv = weights.scope("unet").scope("conv");
    CHECK(conv.full("bias") == "unet.conv.bias");
    CHECK(conv.has("weight"));
    CHECK(!conv.has("scale"));
    CHECK(conv.shape("weight") == std::vector<int64_t>({3, 4}));
    CHECK(conv.names() == std::vector<std::string>({"unet.conv.bias", "unet.conv.weight"}));
    CHECK(weights.unused().size() == 3);

    const auto weight = conv.at("weight", {3, 4});
    CHECK(weight.scalar_type() == torch::kFloat32);
    CHECK(!weight.requires_grad());
    CHECK(weight.sum().item<float>() == 66);
    CHECK(weights.at("ids", {5}).scalar_type() == torch::kInt64);
    CHECK(weights.unused() == std::vector<std::string>({"unet.conv.bias"}));
    CHECK(weights.tensors().size() == 2);
    CHECK(conv.at("weight", {3, 4}).data_ptr() == weight.data_ptr());
}

TEST_CASE("a patch changes what is delivered, before it is cast") {
    auto weights = Weights::of(sample(), "memory", {.dtype = torch::kBFloat16});
    weights.patch_with([](const std::string& name, const torch::Tensor& stored) {
        return name == "unet.conv.weight" ? stored.to(torch::kFloat32) + 0.5 : torch::Tensor();
    });
    const auto conv = weights.scope("unet").scope("conv");
    CHECK(conv.at("weight", {3, 4}).scalar_type() == torch::kBFloat16);
    CHECK(conv.at("weight", {3, 4}).to(torch::kFloat32).sum().item<float>() == 72);
    CHECK(conv.at("bias", {3}).to(torch::kFloat32).equal(at::ones({3})));
    weights.patch_with([](const std::string&, const torch::Tensor&) { return at::zeros({1}); });
    CHECK_THROWS_AS(weights.at("ids", {5}), c10::Error);
}

TEST_CASE("missing and misshapen tensors are named with both shapes") {
    const auto weights = Weights::of(sample(), "model.safetensors");
    const auto conv = weights.scope("unet").scope("conv");
    CHECK(error_of([&] { conv.at("scale", {3}); }) ==
          "'model.safetensors': has no tensor 'unet.conv.scale'; the file is incomplete or of "
          "another "
          "kind of model");
    CHECK(error_of([&] {
              conv.at("weight", {3, 4, 1, 1});
          }).find("tensor 'unet.conv.weight' is [3, 4], but the model needs [3, 4, 1, 1]") !=
          std::string::npos);
    CHECK(weights.unused().size() == 3);
    CHECK(error_of([&] {
              Weights::of({{"a", at::ones({1})}, {"a", at::ones({1})}}, "x");
          }).find("tensor 'a' is given twice") != std::string::npos);
}

TEST_CASE("weights load from shards without copying where the dtype fits") {
    const Scratch scratch;
    save_safetensors(scratch / "1.safetensors", {{"a", at::ones({4})}});
    save_safetensors(scratch / "2.safetensors", {{"b", at::ones({2}, torch::kBFloat16)}});
    const auto weights = Weights::load({scratch / "1.safetensors", scratch / "2.safetensors"});
    const auto a = weights.at("a", {4});
    CHECK(a.sum().item<float>() == 4);
    CHECK(weights.at("b", {2}).scalar_type() == torch::kFloat32);

    const auto half = Weights::load({scratch / "2.safetensors"}, {.dtype = torch::kBFloat16});
    CHECK(half.at("b", {2}).scalar_type() == torch::kBFloat16);
    CHECK(error_of([&] {
              Weights::load({scratch / "1.safetensors", scratch / "1.safetensors"});
          }).find("tensor 'a' is in '") != std::string::npos);
}

TEST_CASE("created weights depend on seed and full name only") {
    const auto first = Weights::create(7).scope("block", 0).at("weight", {8, 16});
    const auto other = Weights::create(7);
    other.at("something.else", {100});
    CHECK(first.requires_grad());
    CHECK(first.equal(other.scope("block").scope("0").at("weight", {8, 16})));
    CHECK(!first.equal(Weights::create(8).scope("block", 0).at("weight", {8, 16})));
    CHECK(!first.equal(Weights::create(7).scope("block", 1).at("weight", {8, 16})));
}

TEST_CASE("each kind of initialisation has its deviation") {
    const auto weights = Weights::create(1);
    using Kind = Init::Kind;
    const auto deviation = [&](const std::string& name, torch::IntArrayRef shape, Init init) {
        return weights.at(name, shape, init).std().item<double>();
    };
    CHECK(deviation("conv", {64, 32, 3, 3}, {}) == Approx(1 / std::sqrt(288)).epsilon(0.03));
    CHECK(deviation("gain", {64, 288}, {.scale = 2}) == Approx(2 / std::sqrt(288)).epsilon(0.03));
    CHECK(deviation("normal", {4096}, {Kind::normal, 0.02}) == Approx(0.02).epsilon(0.05));
    CHECK(weights.at("zeros", {5}, {Kind::zeros}).abs().sum().item<float>() == 0);
    CHECK(weights.at("ones", {5}, {Kind::ones}).sum().item<float>() == 5);
}

TEST_CASE("created weights are registered once and can be saved and loaded again") {
    const Scratch scratch;
    const auto weights = Weights::create(3, {.dtype = torch::kBFloat16});
    CHECK(weights.creating());
    CHECK(!weights.has("a"));
    const auto a = weights.at("a", {2, 2});
    CHECK(weights.has("a"));
    CHECK(a.scalar_type() == torch::kBFloat16);
    CHECK(weights.at("a", {2, 2}).data_ptr() == a.data_ptr());
    CHECK_THROWS_AS(weights.at("a", {3}), c10::Error);
    save_safetensors(scratch / "x.safetensors", weights.tensors());
    const auto again =
        Weights::load({scratch / "x.safetensors"}, {.dtype = torch::kBFloat16}).at("a", {2, 2});
    CHECK(again.equal(a.detach()));
}

}  // namespace weft
