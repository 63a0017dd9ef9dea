#include "diffusion/autoencoder_tiny.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "io/files/error.h"

namespace weft {
namespace {

// Position of the encoder's last convolution: one convolution a level plus all blocks.
int64_t encoder_out_position(const AutoencoderTinyConfig& config) {
    return std::accumulate(config.num_encoder_blocks.begin(), config.num_encoder_blocks.end(),
                           static_cast<int64_t>(config.num_encoder_blocks.size()));
}

int64_t downscale_of(const AutoencoderTinyConfig& config) {
    return int64_t{1} << (config.num_encoder_blocks.size() - 1);
}

void check_levels(const Config& config, const AutoencoderTinyConfig& tiny) {
    const auto uneven = [](const std::vector<int64_t>& channels) {
        return std::any_of(channels.begin(), channels.end(),
                           [&](int64_t c) { return c != channels.front(); });
    };
    const size_t levels = tiny.num_encoder_blocks.size();
    if (levels == 0 || levels > 8 || tiny.num_decoder_blocks.size() != levels ||
        tiny.encoder_block_out_channels.size() != levels ||
        tiny.decoder_block_out_channels.size() != levels) {
        throw Error(config.where(),
                    "the numbers of levels of encoder and decoder differ or exceed 8",
                    "the four lists of blocks and channels need one length");
    }
    if (uneven(tiny.encoder_block_out_channels) || uneven(tiny.decoder_block_out_channels)) {
        throw Error(config.where(), "the levels have different numbers of channels",
                    "weft builds AutoencoderTiny with one width, as diffusers does");
    }
}

}  // namespace

AutoencoderTinyConfig read_autoencoder_tiny_config(const Config& config) {
    AutoencoderTinyConfig out;
    const auto list = [&](const std::string& key, std::vector<int64_t>& value, Range range) {
        value = config.has(key) ? config.integers(key, range) : value;
    };
    out.in_channels = config.integer("in_channels", {3, 3}, out.in_channels);
    out.out_channels = config.integer("out_channels", {3, 3}, out.out_channels);
    out.latent_channels = config.integer("latent_channels", {1, 1024}, out.latent_channels);
    list("encoder_block_out_channels", out.encoder_block_out_channels, {1, 65536});
    list("decoder_block_out_channels", out.decoder_block_out_channels, {1, 65536});
    list("num_encoder_blocks", out.num_encoder_blocks, {0, 64});
    list("num_decoder_blocks", out.num_decoder_blocks, {0, 64});
    out.act_fn = config.text("act_fn", out.act_fn);
    activation_named(out.act_fn, config.where());
    out.scaling_factor = config.number("scaling_factor", {1e-6, 1e6}, 1.0);
    out.shift_factor = config.number("shift_factor", {-1e6, 1e6}, 0.0);
    if (config.integer("upsampling_scaling_factor", {1, 16}, 2) != 2 ||
        config.text("upsample_fn", "nearest") != "nearest") {
        throw Error(config.where(), "the decoder does not double by nearest neighbours",
                    "weft builds AutoencoderTiny with upsampling_scaling_factor 2");
    }
    check_levels(config, out);
    return out;
}

AutoencoderTiny::Block::Block(const Weights& weights, int64_t channels)
    : first(weights.scope("conv", 0), channels, channels),
      second(weights.scope("conv", 2), channels, channels),
      third(weights.scope("conv", 4), channels, channels) {}

AutoencoderTiny::AutoencoderTiny(const AutoencoderTinyConfig& config, const Weights& weights)
    : Autoencoder({.latent_channels = config.latent_channels,
                   .downscale = downscale_of(config),
                   .scaling_factor = config.scaling_factor,
                   .shift_factor = config.shift_factor}),
      activation_(activation_named(config.act_fn, "act_fn")),
      encoder_(make_encoder(weights.scope("encoder"), config)),
      encoder_out_(weights.scope("encoder").scope("layers", encoder_out_position(config)),
                   config.encoder_block_out_channels.back(), config.latent_channels),
      decoder_in_(weights.scope("decoder").scope("layers", 0), config.latent_channels,
                  config.decoder_block_out_channels.front()),
      decoder_(make_decoder(weights.scope("decoder"), config)) {}

std::vector<AutoencoderTiny::Block> AutoencoderTiny::make_blocks(const Weights& layers,
                                                                 int64_t first, int64_t count,
                                                                 int64_t channels) {
    std::vector<Block> blocks;
    for (int64_t i = first; i < first + count; ++i) {
        blocks.emplace_back(layers.scope("layers", i), channels);
    }
    return blocks;
}

std::vector<AutoencoderTiny::Level> AutoencoderTiny::make_encoder(
    const Weights& layers, const AutoencoderTinyConfig& config) {
    std::vector<Level> levels;
    int64_t position = 0;
    for (size_t i = 0; i < config.num_encoder_blocks.size(); ++i) {
        const int64_t channels = config.encoder_block_out_channels[i];
        const Conv2dOptions options =
            i == 0 ? Conv2dOptions{} : Conv2dOptions{.stride = 2, .bias = false};
        Level level;
        level.conv_before.emplace(layers.scope("layers", position++),
                                  i == 0 ? config.in_channels : channels, channels, options);
        level.blocks = make_blocks(layers, position, config.num_encoder_blocks[i], channels);
        position += config.num_encoder_blocks[i];
        levels.push_back(std::move(level));
    }
    return levels;
}

std::vector<AutoencoderTiny::Level> AutoencoderTiny::make_decoder(
    const Weights& layers, const AutoencoderTinyConfig& config) {
    std::vector<Level> levels;
    int64_t position = 2;  // after the first convolution and its activation
    for (size_t i = 0; i < config.num_decoder_blocks.size(); ++i) {
        const bool last = i + 1 == config.num_decoder_blocks.size();
        const int64_t channels = config.decoder_block_out_channels[i];
        Level level;
        level.blocks = make_blocks(layers, position, config.num_decoder_blocks[i], channels);
        position +=
            config.num_decoder_blocks[i] + (last ? 0 : 1);  // the doubling has a number, too
        level.conv_after.emplace(layers.scope("layers", position++), channels,
                                 last ? config.out_channels : channels,
                                 Conv2dOptions{.bias = last});
        levels.push_back(std::move(level));
    }
    return levels;
}

torch::Tensor AutoencoderTiny::run(const std::vector<Block>& blocks, torch::Tensor x) const {
    for (const Block& block : blocks) {
        const torch::Tensor y =
            activate(block.second(activate(block.first(x), activation_)), activation_);
        x = torch::relu(block.third(y) + x);
    }
    return x;
}

Moments AutoencoderTiny::encode_whole(const torch::Tensor& image) const {
    torch::Tensor x = (image + 1) / 2;
    for (const Level& level : encoder_) {
        x = run(level.blocks, (*level.conv_before)(x));
    }
    return {encoder_out_(x), {}};
}

torch::Tensor AutoencoderTiny::decode_whole(const torch::Tensor& latent) const {
    torch::Tensor x = activate(decoder_in_(3 * torch::tanh(latent / 3)), activation_);
    for (size_t i = 0; i < decoder_.size(); ++i) {
        x = run(decoder_[i].blocks, x);
        if (i + 1 < decoder_.size()) {
            x = torch::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)});
        }
        x = (*decoder_[i].conv_after)(x);
    }
    return 2 * x - 1;
}

}  // namespace weft
