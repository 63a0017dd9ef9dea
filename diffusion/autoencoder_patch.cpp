#include "diffusion/autoencoder_patch.h"

#include <cmath>
#include <map>

#include "diffusion/json_text.h"
#include "io/files/error.h"

namespace weft {
namespace {

// He's gain for rectified units: without normalisation smaller weights let the signal fade.
const Init keep_signal{Init::Kind::kaiming_normal, std::sqrt(2.0)};
const Init small{Init::Kind::kaiming_normal, 0.1};
const Init zero{Init::Kind::zeros};

int64_t values_of(const PatchAutoencoderConfig& config) {
    return config.in_channels * config.patch_size * config.patch_size;
}

std::vector<PatchBlock> make_blocks(const Weights& weights, int64_t count, int64_t channels) {
    std::vector<PatchBlock> blocks;
    for (int64_t i = 0; i < count; ++i) {
        blocks.emplace_back(weights.scope("blocks", i), channels);
    }
    return blocks;
}

std::vector<Conv2d> make_smooth(const Weights& weights, const PatchAutoencoderConfig& config) {
    if (config.smooth_channels == 0) {
        return {};
    }
    return {
        Conv2d(weights.scope("conv1"), config.in_channels, config.smooth_channels,
               {.init = keep_signal}),
        Conv2d(weights.scope("conv2"), config.smooth_channels, config.in_channels, {.init = zero})};
}

// y = W x + b, where x had `shift` added and was scaled by `scale` per input channel.
void absorb_input(torch::Tensor& weight, torch::Tensor& bias, const torch::Tensor& scale,
                  const torch::Tensor& shift) {
    const torch::Tensor matrix = weight.flatten(1);  // [out, in], kernels are 1x1
    bias = bias + matrix.matmul(shift);
    weight = (matrix * scale).reshape(weight.sizes());
}

}  // namespace

PatchAutoencoderConfig read_patch_autoencoder_config(const Config& config) {
    PatchAutoencoderConfig out;
    out.in_channels = config.integer("in_channels", {3, 3}, out.in_channels);
    out.latent_channels = config.integer("latent_channels", {1, 1024}, out.latent_channels);
    out.patch_size = config.integer("patch_size", {1, 64}, out.patch_size);
    out.hidden_channels = config.integer("hidden_channels", {1, 65536}, out.hidden_channels);
    out.encoder_blocks = config.integer("encoder_blocks", {0, 64}, out.encoder_blocks);
    out.decoder_blocks = config.integer("decoder_blocks", {0, 64}, out.decoder_blocks);
    out.smooth_channels = config.integer("smooth_channels", {0, 1024}, out.smooth_channels);
    out.scaling_factor = config.number("scaling_factor", {1e-6, 1e6}, 1.0);
    return out;
}

std::string patch_autoencoder_config_json(const PatchAutoencoderConfig& config) {
    return json_object({
        {"_class_name", json("PatchAutoencoder")},
        {"in_channels", json(config.in_channels)},
        {"latent_channels", json(config.latent_channels)},
        {"patch_size", json(config.patch_size)},
        {"hidden_channels", json(config.hidden_channels)},
        {"encoder_blocks", json(config.encoder_blocks)},
        {"decoder_blocks", json(config.decoder_blocks)},
        {"smooth_channels", json(config.smooth_channels)},
        {"scaling_factor", json(config.scaling_factor)},
    });
}

PatchBlock::PatchBlock(const Weights& weights, int64_t channels)
    : conv1_(weights.scope("conv1"), channels, channels, {.init = keep_signal}),
      conv2_(weights.scope("conv2"), channels, channels, {.init = small}) {}

torch::Tensor PatchBlock::operator()(const torch::Tensor& x) const {
    return x + conv2_(torch::silu(conv1_(torch::silu(x))));
}

PatchAutoencoder::PatchAutoencoder(const PatchAutoencoderConfig& config, const Weights& weights)
    : Autoencoder({.latent_channels = config.latent_channels,
                   .downscale = config.patch_size,
                   .scaling_factor = config.scaling_factor,
                   .shift_factor = 0.0}),
      patch_size_(config.patch_size),
      encoder_(make_encoder(weights.scope("encoder"), config)),
      decoder_(make_decoder(weights.scope("decoder"), config)),
      smooth_(make_smooth(weights.scope("smooth"), config)) {}

PatchAutoencoder::Branch PatchAutoencoder::make_encoder(const Weights& weights,
                                                        const PatchAutoencoderConfig& config) {
    return {Linear(weights.scope("linear"), values_of(config), config.latent_channels),
            Conv2d(weights.scope("conv_in"), values_of(config), config.hidden_channels,
                   {.init = keep_signal}),
            make_blocks(weights, config.encoder_blocks, config.hidden_channels),
            Conv2d(weights.scope("conv_out"), config.hidden_channels, config.latent_channels,
                   {.init = zero})};
}

// The first convolution is 1x1 so that a change of the latents' scale folds into it (rewhitened()).
PatchAutoencoder::Branch PatchAutoencoder::make_decoder(const Weights& weights,
                                                        const PatchAutoencoderConfig& config) {
    return {Linear(weights.scope("linear"), config.latent_channels, values_of(config)),
            Conv2d(weights.scope("conv_in"), config.latent_channels, config.hidden_channels,
                   {.kernel = 1, .init = keep_signal}),
            make_blocks(weights, config.decoder_blocks, config.hidden_channels),
            Conv2d(weights.scope("conv_out"), config.hidden_channels, values_of(config),
                   {.init = zero})};
}

torch::Tensor PatchAutoencoder::run(const Branch& branch, const torch::Tensor& x) {
    torch::Tensor y = branch.conv_in(x);
    for (const PatchBlock& block : branch.blocks) {
        y = block(y);
    }
    const torch::Tensor direct = branch.linear(x.permute({0, 2, 3, 1})).permute({0, 3, 1, 2});
    return direct + branch.conv_out(torch::silu(y));
}

torch::Tensor PatchAutoencoder::smooth(const torch::Tensor& image) const {
    return smooth_.empty() ? image : image + smooth_[1](torch::silu(smooth_[0](image)));
}

Moments PatchAutoencoder::encode_whole(const torch::Tensor& image) const {
    return {run(encoder_, torch::pixel_unshuffle(image, patch_size_)), {}};
}

torch::Tensor PatchAutoencoder::decode_whole(const torch::Tensor& latent) const {
    return smooth(torch::pixel_shuffle(run(decoder_, latent), patch_size_));
}

torch::Tensor PatchAutoencoder::patches(const torch::Tensor& image, int64_t patch_size) {
    const torch::Tensor deep = torch::pixel_unshuffle(image, patch_size);  // [n, values, h/p, w/p]
    return deep.permute({0, 2, 3, 1}).flatten(0, 2);
}

PatchInit PatchAutoencoder::pca(const torch::Tensor& patches, int64_t channels) {
    TORCH_CHECK(patches.dim() == 2 && patches.size(0) > channels && patches.size(1) >= channels,
                "cannot take ", channels, " components of patches ", patches.sizes());
    const torch::Tensor exact = patches.to(torch::kFloat64);
    const torch::Tensor mean = exact.mean(0);
    const torch::Tensor centred = exact - mean;
    const torch::Tensor covariance =
        centred.t().matmul(centred) / static_cast<double>(exact.size(0));

    // Eigenvalues come in ascending order; a floor keeps empty directions from dividing by zero.
    const auto [values, vectors] = torch::linalg_eigh(covariance);
    const torch::Tensor kept = values.narrow(0, values.size(0) - channels, channels).flip(0);
    const torch::Tensor basis = vectors.narrow(1, vectors.size(1) - channels, channels).flip(1);
    const torch::Tensor deviation = kept.clamp_min(1e-10).sqrt();

    PatchInit init;
    init.encoder_weight = (basis / deviation).t();
    init.encoder_bias = -init.encoder_weight.matmul(mean);
    init.decoder_weight = basis * deviation;
    init.decoder_bias = mean;
    init.explained = (kept.sum() / values.sum().clamp_min(1e-30)).item<double>();
    for (torch::Tensor* tensor :
         {&init.encoder_weight, &init.encoder_bias, &init.decoder_weight, &init.decoder_bias}) {
        *tensor = tensor->to(torch::kFloat32).contiguous();
    }
    return init;
}

NamedTensors patch_init_tensors(const PatchInit& init) {
    return {{"encoder.linear.weight", init.encoder_weight},
            {"encoder.linear.bias", init.encoder_bias},
            {"decoder.linear.weight", init.decoder_weight},
            {"decoder.linear.bias", init.decoder_bias}};
}

NamedTensors rewhitened(const NamedTensors& tensors, const torch::Tensor& mean,
                        const torch::Tensor& deviation) {
    std::map<std::string, torch::Tensor> model;
    for (const auto& [name, tensor] : tensors) {
        model[name] = tensor.detach().clone();
    }
    // The latent is the sum of two outputs: both shrink, the linear one also takes the mean away.
    const torch::Tensor inverse = deviation.reciprocal();
    model.at("encoder.linear.weight") *= inverse.unsqueeze(1);
    model.at("encoder.linear.bias") = (model.at("encoder.linear.bias") - mean) * inverse;
    model.at("encoder.conv_out.weight") *= inverse.reshape({-1, 1, 1, 1});
    model.at("encoder.conv_out.bias") *= inverse;
    for (const std::string name : {"decoder.linear", "decoder.conv_in"}) {
        absorb_input(model.at(name + ".weight"), model.at(name + ".bias"), deviation, mean);
    }
    return {model.begin(), model.end()};
}

}  // namespace weft
