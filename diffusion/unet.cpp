#include "diffusion/unet.h"

#include <algorithm>

#include "io/files/error.h"

namespace weft {
namespace {

int64_t time_width(const UnetConfig& config) {
    return 4 * config.block_out_channels[0];
}

// The level `i` of an expanded config; `resnet.in` is left to the caller.
UnetLevel level_of(const UnetConfig& config, size_t i) {
    const int64_t channels = config.block_out_channels[i];
    return {.layers = config.layers_per_block[i],
            .resnet = {.out = channels,
                       .time = time_width(config),
                       .norm_groups = config.norm_num_groups,
                       .norm_eps = config.norm_eps,
                       .activation = activation_named(config.act_fn, "act_fn"),
                       .scale_shift = config.resnet_time_scale_shift == "scale_shift"},
            .transformer = {.channels = channels,
                            .heads = config.attention_head_dim[i],
                            .context = config.cross_attention_dim[i],
                            .layers = config.transformer_layers_per_block[i],
                            .norm_groups = config.norm_num_groups,
                            .linear_projection = config.use_linear_projection,
                            .only_cross_attention = config.only_cross_attention[i]}};
}

// Channels of every skip the way down leaves, in order.
std::vector<int64_t> skip_channels(const UnetConfig& config) {
    const size_t levels = config.block_out_channels.size();
    std::vector<int64_t> channels = {config.block_out_channels[0]};
    for (size_t i = 0; i < levels; ++i) {
        const int64_t maps = config.layers_per_block[i] + (i + 1 < levels ? 1 : 0);
        channels.insert(channels.end(), maps, config.block_out_channels[i]);
    }
    return channels;
}

std::vector<UnetDownBlock> make_down_blocks(const Weights& weights, const UnetConfig& config) {
    const size_t levels = config.block_out_channels.size();
    std::vector<UnetDownBlock> blocks;
    for (size_t i = 0; i < levels; ++i) {
        UnetLevel level = level_of(config, i);
        level.attends = config.down_block_types[i] == "CrossAttnDownBlock2D";
        level.resizes = i + 1 < levels;
        level.resnet.in = config.block_out_channels[i == 0 ? 0 : i - 1];
        blocks.emplace_back(weights.scope("down_blocks", static_cast<int64_t>(i)), level);
    }
    return blocks;
}

std::optional<UnetMidBlock> make_mid_block(const Weights& weights, const UnetConfig& config) {
    if (config.mid_block_type.empty()) {
        return {};
    }
    UnetLevel level = level_of(config, config.block_out_channels.size() - 1);
    level.attends = config.mid_block_type == "UNetMidBlock2DCrossAttn";
    level.resnet.in = level.resnet.out;
    level.transformer.only_cross_attention = false;
    return UnetMidBlock(weights.scope("mid_block"), level);
}

std::vector<UnetUpBlock> make_up_blocks(const Weights& weights, const UnetConfig& config) {
    const size_t levels = config.block_out_channels.size();
    std::vector<int64_t> skips = skip_channels(config);
    std::vector<UnetUpBlock> blocks;
    for (size_t i = 0; i < levels; ++i) {
        const size_t at = levels - 1 - i;
        UnetLevel level = level_of(config, at);
        level.layers += 1;
        level.attends = config.up_block_types[i] == "CrossAttnUpBlock2D";
        level.resizes = i + 1 < levels;
        level.resnet.in = config.block_out_channels[i == 0 ? at : at + 1];
        const auto first = skips.end() - level.layers;
        const std::vector<int64_t> joined(skips.rbegin(), skips.rbegin() + level.layers);
        skips.erase(first, skips.end());
        blocks.emplace_back(weights.scope("up_blocks", static_cast<int64_t>(i)), level, joined);
    }
    return blocks;
}

// Layers of the last up block that see the skips of conv_in and of the first layer.
constexpr size_t outer_layer_count = 2;

// What a ControlNet adds to the skips.
void add_residuals(Skips& skips, const std::vector<torch::Tensor>& residuals) {
    TORCH_CHECK(residuals.empty() || residuals.size() == skips.size(), residuals.size(),
                " additional residuals for ", skips.size(), " skips");
    for (size_t i = 0; i < residuals.size(); ++i) {
        skips[i] = skips[i] + residuals[i];
    }
}

}  // namespace

TimestepEmbedding::TimestepEmbedding(const Weights& weights, const Shape& shape)
    : activation_(shape.activation),
      linear_1_(weights.scope("linear_1"), shape.in, shape.out),
      linear_2_(weights.scope("linear_2"), shape.out, shape.out) {
    if (shape.cond) {
        cond_proj_.emplace(weights.scope("cond_proj"), *shape.cond, shape.in,
                           LinearOptions{.bias = false});
    }
}

torch::Tensor TimestepEmbedding::operator()(torch::Tensor x, const torch::Tensor& cond) const {
    if (cond.defined()) {
        TORCH_CHECK(cond_proj_, "this model takes no timestep condition");
        x = x + (*cond_proj_)(cond);
    }
    return linear_2_(activate(linear_1_(x), activation_));
}

Unet::Unet(const UnetConfig& config, const Weights& weights)
    : config_(expanded(config, "unet")),
      dtype_(weights.options().dtype),
      conv_in_(weights.scope("conv_in"), config_.in_channels, config_.block_out_channels[0],
               {.kernel = config_.conv_in_kernel}),
      time_embedding_(weights.scope("time_embedding"),
                      {.in = config_.block_out_channels[0],
                       .out = time_width(config_),
                       .cond = config_.time_cond_proj_dim,
                       .activation = activation_named(config_.act_fn, "act_fn")}),
      down_blocks_(make_down_blocks(weights, config_)),
      mid_block_(make_mid_block(weights, config_)),
      up_blocks_(make_up_blocks(weights, config_)),
      conv_norm_out_(weights.scope("conv_norm_out"), config_.norm_num_groups,
                     config_.block_out_channels[0], config_.norm_eps),
      conv_out_(weights.scope("conv_out"), config_.block_out_channels[0], config_.out_channels,
                {.kernel = config_.conv_out_kernel, .init = {Init::Kind::zeros}}) {
    const int64_t width = time_width(config_);
    const Weights labels = weights.scope("class_embedding");
    if (config_.class_embed_type.empty() && config_.num_class_embeds) {
        class_table_.emplace(labels, *config_.num_class_embeds, width);
    } else if (config_.class_embed_type == "timestep") {
        class_embedding_.emplace(
            labels, TimestepEmbedding::Shape{.in = config_.block_out_channels[0], .out = width});
    } else if (config_.class_embed_type == "projection") {
        class_embedding_.emplace(
            labels, TimestepEmbedding::Shape{.in = *config_.projection_class_embeddings_input_dim,
                                             .out = width});
    } else if (config_.class_embed_type == "simple_projection") {
        class_projection_.emplace(labels, *config_.projection_class_embeddings_input_dim, width);
    }
    if (config_.addition_embed_type == "text") {
        text_pooling_.emplace(weights.scope("add_embedding"),
                              TextPooling::Shape{.context = config_.cross_attention_dim.front(),
                                                 .out = width,
                                                 .heads = config_.addition_embed_type_num_heads});
    }
    if (config_.addition_embed_type == "text_time") {
        add_embedding_.emplace(
            weights.scope("add_embedding"),
            TimestepEmbedding::Shape{.in = *config_.projection_class_embeddings_input_dim,
                                     .out = width});
    }
}

torch::Tensor Unet::positions(const torch::Tensor& values, int64_t dim) const {
    return sinusoids(values, dim, {config_.flip_sin_to_cos, config_.freq_shift}).to(dtype_);
}

torch::Tensor Unet::embed_class(const torch::Tensor& labels) const {
    if (class_table_) {
        return (*class_table_)(labels);
    }
    if (config_.class_embed_type == "timestep") {
        return (*class_embedding_)(positions(labels, config_.block_out_channels[0]));
    }
    if (class_embedding_) {
        return (*class_embedding_)(labels.to(dtype_));
    }
    return class_projection_ ? (*class_projection_)(labels.to(dtype_)) : labels.to(dtype_);
}

torch::Tensor Unet::embed_text_time(const UnetInputs& inputs) const {
    TORCH_CHECK(inputs.text_embeds.defined() && inputs.time_ids.defined(),
                "addition_embed_type text_time needs text_embeds and time_ids");
    const torch::Tensor ids = positions(inputs.time_ids.flatten(), *config_.addition_time_embed_dim)
                                  .reshape({inputs.text_embeds.size(0), -1});
    return (*add_embedding_)(torch::cat({inputs.text_embeds.to(dtype_), ids}, 1));
}

torch::Tensor Unet::embed_time(const torch::Tensor& timestep, int64_t batch,
                               const UnetInputs& inputs) const {
    // One time for all frames stays one row, which the residual blocks add to their bias.
    const torch::Tensor times = timestep.dim() == 0 ? timestep.unsqueeze(0) : timestep;
    TORCH_CHECK(times.dim() == 1 && (times.size(0) == 1 || times.size(0) == batch), "timestep ",
                timestep.sizes(), " for ", batch, " frames");
    torch::Tensor time =
        time_embedding_(positions(times, config_.block_out_channels[0]), inputs.timestep_cond);
    const bool labelled = class_table_ || !config_.class_embed_type.empty();
    if (labelled) {
        TORCH_CHECK(inputs.class_labels.defined(), "this model needs class_labels");
        time = time + embed_class(inputs.class_labels);
    }
    if (add_embedding_) {
        time = time + embed_text_time(inputs);
    }
    return time;
}

torch::Tensor Unet::operator()(const torch::Tensor& sample, const torch::Tensor& timestep,
                               const torch::Tensor& encoder_hidden_states,
                               const UnetInputs& inputs) const {
    TORCH_CHECK(sample.dim() == 4 && sample.size(1) == config_.in_channels, "sample ",
                sample.sizes(), " for a network of ", config_.in_channels, " input channels");
    TORCH_CHECK(encoder_hidden_states.dim() == 3 && encoder_hidden_states.size(0) == sample.size(0),
                "encoder_hidden_states ", encoder_hidden_states.sizes(), " for sample ",
                sample.sizes());
    torch::Tensor time = embed_time(timestep.to(sample.device()), sample.size(0), inputs);
    if (text_pooling_) {
        time = time + (*text_pooling_)(encoder_hidden_states);
    }
    const UnetState state{time, {encoder_hidden_states, inputs.coupling}};

    const torch::Tensor x = conv_in_(config_.center_input_sample ? 2 * sample - 1 : sample);
    const bool reuses = inputs.deep != nullptr && inputs.deep->reuse;
    const torch::Tensor y = reuses ? outer_layers(x, state, inputs) : all_levels(x, state, inputs);
    return conv_out_(conv_norm_out_(y, activation_named(config_.act_fn, "act_fn")));
}

// Way down, middle and way up from conv_in's map; renews the deep features where they are kept.
torch::Tensor Unet::all_levels(const torch::Tensor& first, const UnetState& state,
                               const UnetInputs& inputs) const {
    // Way down: every map is kept for the way up.
    torch::Tensor x = first;
    Skips skips = {x};
    for (const UnetDownBlock& block : down_blocks_) {
        x = block(x, state, skips);
    }
    add_residuals(skips, inputs.down_block_additional_residuals);

    // Middle, then the way up.
    x = mid_block_ ? (*mid_block_)(x, state) : x;
    if (inputs.mid_block_additional_residual.defined()) {
        x = x + inputs.mid_block_additional_residual;
    }
    for (size_t i = 0; i + 1 < up_blocks_.size(); ++i) {
        x = up_blocks_[i](x, state, skips);
    }
    const UnetUpBlock& last = up_blocks_.back();
    const size_t inner = last.layer_count() - outer_layer_count;
    x = last.layers(0, inner, x, state, skips);
    if (inputs.deep != nullptr) {
        inputs.deep->features = x;
    }
    return last.layers(inner, last.layer_count(), x, state, skips);
}

// The layers outside the deep features.
torch::Tensor Unet::outer_layers(const torch::Tensor& first, const UnetState& state,
                                 const UnetInputs& inputs) const {
    const torch::Tensor& deep = inputs.deep->features;
    TORCH_CHECK(deep.defined() && deep.size(0) == first.size(0) && deep.size(2) == first.size(2) &&
                    deep.size(3) == first.size(3),
                "deep features of another batch are no use for ", first.sizes());
    Skips skips = {first, down_blocks_.front().layer(0, first, state)};
    std::vector<torch::Tensor> residuals = inputs.down_block_additional_residuals;
    residuals.resize(std::min(residuals.size(), skips.size()));
    add_residuals(skips, residuals);
    const UnetUpBlock& last = up_blocks_.back();
    return last.layers(last.layer_count() - outer_layer_count, last.layer_count(), deep, state,
                       skips);
}

}  // namespace weft
