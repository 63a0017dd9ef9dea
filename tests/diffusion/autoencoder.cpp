#include "diffusion/autoencoder.h"

#include <catch2/catch.hpp>

#include "diffusion/autoencoder_patch.h"
#include "io/files/error.h"

namespace weft {
namespace {

const PatchAutoencoderConfig small_patch{.latent_channels = 12,
                                         .patch_size = 4,
                                         .hidden_channels = 8,
                                         .encoder_blocks = 1,
                                         .decoder_blocks = 1};

// Pictures whose patches span 12 dimensions only.
torch::Tensor flat_pictures(int64_t count) {
    torch::manual_seed(1);
    const torch::Tensor basis = torch::randn({12, 48});
    const torch::Tensor patches = 0.2 * torch::randn({count, 4, 6, 12}).matmul(basis) + 0.1;
    return torch::pixel_shuffle(patches.permute({0, 3, 1, 2}), 4);  // [count, 3, 16, 24]
}

void copy_in(const Weights& weights, const NamedTensors& tensors) {
    const torch::NoGradGuard no_tape;
    for (const auto& [name, tensor] : tensors) {
        torch::Tensor parameter = weights.at(name, tensor.sizes());
        parameter.copy_(tensor);
    }
}

void disturb(const Weights& weights) {
    const torch::NoGradGuard no_tape;
    for (auto& [name, tensor] : weights.tensors()) {
        torch::Tensor parameter = tensor;
        parameter.add_(0.05 * torch::randn_like(parameter));
    }
}

}  // namespace

TEST_CASE("a PCA start restores pictures of its dimension, with white latents", "[patch]") {
    const Weights weights = Weights::create(1);
    const PatchAutoencoder autoencoder(small_patch, weights);
    const torch::Tensor pictures = flat_pictures(64);
    const PatchInit init = PatchAutoencoder::pca(PatchAutoencoder::patches(pictures, 4), 12);
    CHECK(init.explained == Approx(1.0).margin(1e-4));
    copy_in(weights, patch_init_tensors(init));

    const torch::NoGradGuard inference;
    const torch::Tensor latents = autoencoder.encode(pictures).mean;
    CHECK(latents.sizes() == torch::IntArrayRef({64, 12, 4, 6}));
    CHECK((autoencoder.decode(latents) - pictures).abs().max().item<double>() < 1e-3);
    const torch::Tensor rows = latents.permute({0, 2, 3, 1}).flatten(0, 2);
    const torch::Tensor covariance = rows.t().matmul(rows) / rows.size(0);
    CHECK((covariance - torch::eye(12)).abs().max().item<double>() < 1e-2);
    CHECK(rows.mean(0).abs().max().item<double>() < 1e-2);
}

TEST_CASE("fewer components keep less, and the most of what is there", "[patch]") {
    const torch::Tensor patches = PatchAutoencoder::patches(flat_pictures(64), 4);
    double last = 0;
    for (const int64_t channels : {2, 6, 12}) {
        const double explained = PatchAutoencoder::pca(patches, channels).explained;
        CHECK(explained > last);
        last = explained;
    }
}

TEST_CASE("a patch autoencoder trains in every parameter", "[patch]") {
    const Weights weights = Weights::create(1);
    const PatchAutoencoder autoencoder(small_patch, weights);
    disturb(weights);
    const torch::Tensor pictures = flat_pictures(2);
    const torch::Tensor restored = autoencoder.decode(autoencoder.encode(pictures).mean);
    (restored - pictures).square().mean().backward();
    for (const auto& [name, tensor] : weights.tensors()) {
        INFO(name);
        REQUIRE(tensor.grad().defined());
        CHECK(tensor.grad().abs().max().item<double>() > 0);
    }
}

TEST_CASE("rewhitening moves the latents and not the pictures", "[patch]") {
    const Weights weights = Weights::create(1);
    const PatchAutoencoder before(small_patch, weights);
    disturb(weights);
    const torch::NoGradGuard inference;
    const torch::Tensor pictures = flat_pictures(8);
    const torch::Tensor old_latents = before.encode(pictures).mean;
    const torch::Tensor mean = old_latents.mean({0, 2, 3});
    const torch::Tensor deviation = old_latents.std({0, 2, 3}, true);

    const PatchAutoencoder after(
        small_patch, Weights::of(rewhitened(weights.tensors(), mean, deviation), "new"));
    const torch::Tensor latents = after.encode(pictures).mean;
    CHECK(latents.mean({0, 2, 3}).abs().max().item<double>() < 1e-4);
    CHECK((latents.std({0, 2, 3}, true) - 1).abs().max().item<double>() < 1e-2);
    CHECK(after.decode(latents).allclose(before.decode(old_latents), 1e-3, 1e-3));
}

TEST_CASE("pictures of any size are padded by repetition and cropped back", "[autoencoder]") {
    const torch::Tensor image = torch::rand({1, 3, 5, 9});
    const torch::Tensor grown = padded(image, 4);
    REQUIRE(grown.sizes() == torch::IntArrayRef({1, 3, 8, 12}));
    CHECK(cropped(grown, 5, 9).equal(image));
    CHECK(grown.select(2, 7).equal(grown.select(2, 4)));
    CHECK(grown.select(3, 11).equal(grown.select(3, 8)));
    CHECK(padded(grown, 4).equal(grown));

    const PatchAutoencoder autoencoder(small_patch, Weights::create(1));
    CHECK(autoencoder.encode(image).mean.sizes() == torch::IntArrayRef({1, 12, 2, 3}));
}

TEST_CASE("autoencoders are made by class name", "[autoencoder]") {
    const Weights weights = Weights::create(1);
    const std::string text = patch_autoencoder_config_json(small_patch);
    const auto made = make_autoencoder(Config::parse(text, "vae/config.json"), weights);
    CHECK(made->latent_channels() == 12);
    CHECK(made->downscale() == 4);
    CHECK_THROWS_WITH(
        make_autoencoder(Config::parse(R"({"_class_name": "VQModel"})", "vae/config.json"),
                         weights),
        Catch::Contains("VQModel") && Catch::Contains("AutoencoderTiny"));
    CHECK_THROWS_AS(make_autoencoder(Config::parse(R"({"_class_name": "AutoencoderKL",
        "down_block_types": ["AttnDownEncoderBlock2D"]})",
                                                   "vae/config.json"),
                                     weights),
                    Error);
}

}  // namespace weft
