#include "diffusion/autoencoder_kl.h"

#include <array>
#include <functional>
#include <utility>

#include "io/files/error.h"

namespace weft {
namespace {

constexpr double norm_eps = 1e-6;

ResnetShape resnet_shape(const AutoencoderKLConfig& config, int64_t in, int64_t out) {
    return {.in = in,
            .out = out,
            .norm_groups = config.norm_num_groups,
            .norm_eps = norm_eps,
            .activation = activation_named(config.act_fn, "act_fn")};
}

std::vector<ResnetBlock2D> make_resnets(const Weights& weights, ResnetShape shape, int64_t count) {
    std::vector<ResnetBlock2D> resnets;
    for (int64_t i = 0; i < count; ++i) {
        resnets.emplace_back(weights.scope("resnets", i), shape);
        shape.in = shape.out;
    }
    return resnets;
}

int64_t downscale_of(const AutoencoderKLConfig& config) {
    return int64_t{1} << (config.block_out_channels.size() - 1);
}

void check_block_types(const Config& config, const std::string& key, const std::string& only) {
    if (!config.has(key)) {
        return;
    }
    for (const std::string& type : config.texts(key)) {
        if (type != only) {
            throw Error(config.where(), c10::str("\"", key, "\": unsupported block \"", type, "\""),
                        c10::str("weft builds AutoencoderKL of ", only));
        }
    }
}

void check_widths(const AutoencoderKLConfig& config, const std::string& where) {
    const size_t levels = config.block_out_channels.size();
    if (levels == 0 || levels > 8) {
        throw Error(where, c10::str("\"block_out_channels\": ", levels, " levels"), "give 1 to 8");
    }
    for (const int64_t channels : config.block_out_channels) {
        if (channels % config.norm_num_groups != 0) {
            throw Error(where,
                        c10::str("\"block_out_channels\": ", channels, " does not divide into ",
                                 config.norm_num_groups, " norm groups"));
        }
    }
}

using Pass = std::function<torch::Tensor(const torch::Tensor&)>;

// Frame by frame in stripes, or all frames at once where gradients are wanted.
torch::Tensor each_frame(const torch::Tensor& frames, const Pass& in_stripes, const Pass& at_once) {
    if (at::GradMode::is_enabled()) {
        return at_once(frames);
    }
    std::vector<torch::Tensor> done;
    for (const torch::Tensor& frame : frames.split(1)) {
        done.push_back(in_stripes(frame));
    }
    return done.size() == 1 ? done.front() : torch::cat(done);
}

// The attention's tensors under today's names, whatever the file calls them.
Weights attention_weights(const Weights& weights) {
    if (weights.creating() || !weights.has("query.weight")) {
        return weights;
    }
    static constexpr std::array<std::pair<const char*, const char*>, 4> renamed = {
        {{"query", "to_q"}, {"key", "to_k"}, {"value", "to_v"}, {"proj_attn", "to_out.0"}}};
    NamedTensors tensors;
    for (const auto& [old_name, new_name] : renamed) {
        const Weights layer = weights.scope(old_name);
        const torch::Tensor weight = layer.at("weight", layer.shape("weight"));
        tensors.emplace_back(c10::str(new_name, ".weight"), weight.flatten(1));
        tensors.emplace_back(c10::str(new_name, ".bias"), layer.at("bias", {weight.size(0)}));
    }
    return Weights::of(tensors, weights.full("query"), weights.options());
}

}  // namespace

AutoencoderKLConfig read_autoencoder_kl_config(const Config& config) {
    AutoencoderKLConfig out;
    check_block_types(config, "down_block_types", "DownEncoderBlock2D");
    check_block_types(config, "up_block_types", "UpDecoderBlock2D");
    out.in_channels = config.integer("in_channels", {3, 3}, out.in_channels);
    out.out_channels = config.integer("out_channels", {3, 3}, out.out_channels);
    if (config.has("block_out_channels")) {
        out.block_out_channels = config.integers("block_out_channels", {1, 65536});
    }
    out.layers_per_block = config.integer("layers_per_block", {1, 64}, out.layers_per_block);
    out.latent_channels = config.integer("latent_channels", {1, 1024}, out.latent_channels);
    out.norm_num_groups = config.integer("norm_num_groups", {1, 65536}, out.norm_num_groups);
    out.act_fn = config.text("act_fn", out.act_fn);
    activation_named(out.act_fn, config.where());
    out.scaling_factor = config.number("scaling_factor", {1e-6, 1e6}, out.scaling_factor);
    out.shift_factor = config.number("shift_factor", {-1e6, 1e6}, 0.0);
    out.use_quant_conv = config.flag("use_quant_conv", true);
    out.use_post_quant_conv = config.flag("use_post_quant_conv", true);
    out.mid_block_add_attention = config.flag("mid_block_add_attention", true);
    check_widths(out, config.where());
    return out;
}

AutoencoderMidBlock::AutoencoderMidBlock(const Weights& weights, const ResnetShape& shape,
                                         bool attends)
    : first_(weights.scope("resnets", 0), shape), second_(weights.scope("resnets", 1), shape) {
    if (attends) {
        const Weights scope = weights.scope("attentions", 0);
        norm_.emplace(scope.scope("group_norm"), shape.norm_groups, shape.out, norm_eps);
        attention_.emplace(
            attention_weights(scope),
            AttentionShape{.width = shape.out, .context = shape.out, .heads = 1, .qkv_bias = true});
    }
}

torch::Tensor AutoencoderMidBlock::attend_pixels(const torch::Tensor& x) const {
    const torch::Tensor tokens = (*norm_)(x).flatten(2).transpose(1, 2);  // [n, h * w, c]
    return x + (*attention_)(tokens, tokens).transpose(1, 2).reshape(x.sizes());
}

torch::Tensor AutoencoderMidBlock::operator()(torch::Tensor x) const {
    x = first_(x);
    x = attention_ ? attend_pixels(x) : x;
    return second_(x);
}

KLEncoder::KLEncoder(const Weights& weights, const AutoencoderKLConfig& config)
    : activation_(activation_named(config.act_fn, "act_fn")),
      conv_in_(weights.scope("conv_in"), config.in_channels, config.block_out_channels.front()),
      levels_(make_levels(weights, config)),
      mid_block_(
          weights.scope("mid_block"),
          resnet_shape(config, config.block_out_channels.back(), config.block_out_channels.back()),
          config.mid_block_add_attention),
      conv_norm_out_(weights.scope("conv_norm_out"), config.norm_num_groups,
                     config.block_out_channels.back(), norm_eps),
      conv_out_(weights.scope("conv_out"), config.block_out_channels.back(),
                2 * config.latent_channels) {}

std::vector<KLEncoder::Level> KLEncoder::make_levels(const Weights& weights,
                                                     const AutoencoderKLConfig& config) {
    std::vector<Level> levels;
    int64_t in = config.block_out_channels.front();
    for (size_t i = 0; i < config.block_out_channels.size(); ++i) {
        const Weights scope = weights.scope("down_blocks", static_cast<int64_t>(i));
        const int64_t out = config.block_out_channels[i];
        Level level{make_resnets(scope, resnet_shape(config, in, out), config.layers_per_block),
                    {}};
        if (i + 1 < config.block_out_channels.size()) {
            level.downsampler.emplace(scope.scope("downsamplers", 0), out,
                                      Downsample2D::Padding::right_and_bottom);
        }
        levels.push_back(std::move(level));
        in = out;
    }
    return levels;
}

torch::Tensor KLEncoder::operator()(const torch::Tensor& image) const {
    torch::Tensor x = conv_in_(image);
    for (const Level& level : levels_) {
        for (const ResnetBlock2D& resnet : level.resnets) {
            x = resnet(x);
        }
        x = level.downsampler ? (*level.downsampler)(x) : x;
    }
    return conv_out_(conv_norm_out_(mid_block_(x), activation_));
}

torch::Tensor KLEncoder::in_stripes(const torch::Tensor& image, const Stripes& stripes) const {
    torch::Tensor x = conv_in_(image);
    for (const Level& level : levels_) {
        for (const ResnetBlock2D& resnet : level.resnets) {
            x = resnet.in_stripes(std::move(x), stripes);
        }
        x = level.downsampler ? level.downsampler->in_stripes(x, stripes) : x;
    }
    return conv_out_(conv_norm_out_(mid_block_(x), activation_));
}

KLDecoder::KLDecoder(const Weights& weights, const AutoencoderKLConfig& config)
    : activation_(activation_named(config.act_fn, "act_fn")),
      conv_in_(weights.scope("conv_in"), config.latent_channels, config.block_out_channels.back()),
      mid_block_(
          weights.scope("mid_block"),
          resnet_shape(config, config.block_out_channels.back(), config.block_out_channels.back()),
          config.mid_block_add_attention),
      levels_(make_levels(weights, config)),
      conv_norm_out_(weights.scope("conv_norm_out"), config.norm_num_groups,
                     config.block_out_channels.front(), norm_eps),
      conv_out_(weights.scope("conv_out"), config.block_out_channels.front(), config.out_channels) {
}

std::vector<KLDecoder::Level> KLDecoder::make_levels(const Weights& weights,
                                                     const AutoencoderKLConfig& config) {
    const size_t count = config.block_out_channels.size();
    std::vector<Level> levels;
    int64_t in = config.block_out_channels.back();
    for (size_t i = 0; i < count; ++i) {
        const Weights scope = weights.scope("up_blocks", static_cast<int64_t>(i));
        const int64_t out = config.block_out_channels[count - 1 - i];
        Level level{make_resnets(scope, resnet_shape(config, in, out), config.layers_per_block + 1),
                    {}};
        if (i + 1 < count) {
            level.upsampler.emplace(scope.scope("upsamplers", 0), out);
        }
        levels.push_back(std::move(level));
        in = out;
    }
    return levels;
}

torch::Tensor KLDecoder::operator()(const torch::Tensor& latent) const {
    torch::Tensor x = mid_block_(conv_in_(latent));
    for (const Level& level : levels_) {
        for (const ResnetBlock2D& resnet : level.resnets) {
            x = resnet(x);
        }
        x = level.upsampler ? (*level.upsampler)(x) : x;
    }
    return conv_out_(conv_norm_out_(x, activation_));
}

torch::Tensor KLDecoder::in_stripes(const torch::Tensor& latent, const Stripes& stripes) const {
    torch::Tensor x = mid_block_(conv_in_(latent));
    for (const Level& level : levels_) {
        for (const ResnetBlock2D& resnet : level.resnets) {
            x = resnet.in_stripes(std::move(x), stripes);
        }
        x = level.upsampler ? level.upsampler->in_stripes(x, stripes) : x;
    }
    torch::Tensor image = zero_map(x, conv_out_.out_channels(), x.size(2), x.size(3));
    add_normed_conv(image, x, {conv_norm_out_, activation_, conv_out_}, stripes);
    return image;
}

AutoencoderKL::AutoencoderKL(const AutoencoderKLConfig& config, const Weights& weights)
    : Autoencoder({.latent_channels = config.latent_channels,
                   .downscale = downscale_of(config),
                   .scaling_factor = config.scaling_factor,
                   .shift_factor = config.shift_factor}),
      encoder_(weights.scope("encoder"), config),
      decoder_(weights.scope("decoder"), config) {
    const int64_t latent = config.latent_channels;
    if (config.use_quant_conv) {
        quant_conv_.emplace(weights.scope("quant_conv"), 2 * latent, 2 * latent,
                            Conv2dOptions{.kernel = 1});
    }
    if (config.use_post_quant_conv) {
        post_quant_conv_.emplace(weights.scope("post_quant_conv"), latent, latent,
                                 Conv2dOptions{.kernel = 1});
    }
}

Moments AutoencoderKL::encode_whole(const torch::Tensor& image) const {
    const torch::Tensor raw = each_frame(
        image, [this](const torch::Tensor& frame) { return encoder_.in_stripes(frame, {}); },
        [this](const torch::Tensor& all) { return encoder_(all); });
    const std::vector<torch::Tensor> parts = (quant_conv_ ? (*quant_conv_)(raw) : raw).chunk(2, 1);
    return {parts[0], parts[1].clamp(-30.0, 20.0)};
}

torch::Tensor AutoencoderKL::decode_whole(const torch::Tensor& latent) const {
    return each_frame(
        post_quant_conv_ ? (*post_quant_conv_)(latent) : latent,
        [this](const torch::Tensor& frame) { return decoder_.in_stripes(frame, {}); },
        [this](const torch::Tensor& all) { return decoder_(all); });
}

}  // namespace weft
