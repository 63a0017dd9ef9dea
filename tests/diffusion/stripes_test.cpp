#include "diffusion/stripes.h"

#include <catch2/catch.hpp>

#include "diffusion/autoencoder_kl.h"

namespace weft {
namespace {

const AutoencoderKLConfig small_kl{
    .block_out_channels = {8, 16, 16}, .layers_per_block = 1, .norm_num_groups = 4};

// Random numbers everywhere, also where training starts at zero or one.
Weights random_weights() {
    torch::manual_seed(1);
    const Weights made = Weights::create(1);
    const AutoencoderKL registers_parameters(small_kl, made);
    NamedTensors tensors;
    for (const auto& [name, tensor] : made.tensors()) {
        tensors.emplace_back(name, tensor.detach() + 0.2 * torch::randn_like(tensor));
    }
    return Weights::of(tensors, "test");
}

double difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().max().item<double>();
}

}  // namespace

TEST_CASE("stripes cover a map once", "[stripes]") {
    std::vector<int64_t> seen;
    for_each_stripe(7, 3, [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row) {
            seen.push_back(row);
        }
    });
    CHECK(seen == std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6});
    const torch::Tensor x = torch::arange(6).reshape({1, 1, 3, 2});
    CHECK(torch::equal(rows_with_border(x, -1, 4).select(2, 1), x.select(2, 0)));
    CHECK(rows_with_border(x, -1, 4).select(2, 0).abs().sum().item<int64_t>() == 0);
    CHECK(rows_with_border(x, 1, 3).data_ptr() == x.select(2, 1).data_ptr());
}

TEST_CASE("an autoencoder in stripes is the whole autoencoder", "[stripes]") {
    const Weights weights = random_weights();
    const KLDecoder decoder(weights.scope("decoder"), small_kl);
    const KLEncoder encoder(weights.scope("encoder"), small_kl);
    const torch::NoGradGuard inference;
    torch::manual_seed(2);
    const torch::Tensor latent = torch::randn({1, 4, 9, 5});
    const torch::Tensor image = torch::randn({1, 3, 36, 20});
    const torch::Tensor whole_image = decoder(latent);
    const torch::Tensor whole_latent = encoder(image);
    REQUIRE(whole_image.std().item<double>() > 0.1);
    // One row a stripe, a few, and all in one.
    const int64_t bytes = GENERATE(1, 2000, 7000, 1 << 20);
    CHECK(difference(decoder.in_stripes(latent, {bytes}), whole_image) < 1e-4);
    CHECK(difference(encoder.in_stripes(image, {bytes}), whole_latent) < 1e-4);
}

TEST_CASE("no seam shows between stripes", "[stripes]") {
    const KLDecoder decoder(random_weights().scope("decoder"), small_kl);
    const torch::NoGradGuard inference;
    torch::manual_seed(3);
    const torch::Tensor latent = torch::randn({1, 4, 16, 6});
    const torch::Tensor off = (decoder.in_stripes(latent, {4000}) - decoder(latent)).abs();
    // Errors at the rows where stripes meet are no larger than elsewhere.
    const torch::Tensor by_row = off.amax(torch::IntArrayRef{0, 1, 3});  // [h]
    CHECK(by_row.max().item<double>() < 1e-4);
}

TEST_CASE("frames of a batch are decoded as if alone", "[stripes]") {
    const AutoencoderKL autoencoder(small_kl, random_weights());
    torch::manual_seed(4);
    const torch::Tensor latents = torch::randn({3, 4, 4, 6});
    const torch::Tensor at_once = autoencoder.decode(latents).detach();  // gradients on: unstriped
    const torch::NoGradGuard inference;
    const torch::Tensor decoded = autoencoder.decode(latents);
    CHECK(difference(decoded, at_once) < 1e-4);
    CHECK(difference(decoded[1], autoencoder.decode(latents.narrow(0, 1, 1))[0]) < 1e-6);
    CHECK(difference(autoencoder.encode(decoded).mean[2],
                     autoencoder.encode(decoded.narrow(0, 2, 1)).mean[0]) < 1e-5);
}

}  // namespace weft
