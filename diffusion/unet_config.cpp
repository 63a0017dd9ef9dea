#include "diffusion/unet_config.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>
#include <utility>

#include "diffusion/json_text.h"
#include "io/files/error.h"

namespace weft {
namespace {

const Range channel_range{1, 65536};
const Range count_range{1, 64};

[[noreturn]] void refuse(const std::string& where, const std::string& key,
                         const std::string& cause) {
    throw Error(where, c10::str("\"", key, "\": ", cause),
                "weft builds UNet2DConditionModel in its Stable Diffusion 1, 2 and XL shapes");
}

// Options of diffusers that change the network and that weft builds only in their default form.
void check_left_at_default(const Config& config) {
    static constexpr std::array<std::string_view, 9> null_keys = {
        "num_attention_heads",
        "encoder_hid_dim_type",
        "cross_attention_norm",
        "time_embedding_dim",
        "time_embedding_act_fn",
        "timestep_post_act",
        "reverse_transformer_layers_per_block",
        "encoder_hid_dim",
        "mid_block_only_cross_attention"};
    for (const std::string_view name : null_keys) {
        const std::string key(name);
        if (config.has(key)) {
            refuse(config.where(), key, "must be null");
        }
    }
    static constexpr std::array<std::string_view, 3> false_keys = {
        "dual_cross_attention", "resnet_skip_time_act", "class_embeddings_concat"};
    for (const std::string_view name : false_keys) {
        const std::string key(name);
        if (config.flag(key, false)) {
            refuse(config.where(), key, "must be false");
        }
    }
    static constexpr std::array<std::string_view, 3> one_keys = {
        "mid_block_scale_factor", "resnet_out_scale_factor", "downsample_padding"};
    for (const std::string_view name : one_keys) {
        const std::string key(name);
        if (config.number(key, {-1e9, 1e9}, 1.0) != 1.0) {
            refuse(config.where(), key, "must be 1");
        }
    }
    const std::array<std::pair<std::string, std::string>, 2> fixed = {
        {{"time_embedding_type", "positional"}, {"attention_type", "default"}}};
    for (const auto& [key, value] : fixed) {
        if (config.text(key, value) != value) {
            refuse(config.where(), key, c10::str("must be \"", value, "\""));
        }
    }
}

std::string choice(const Config& config, const std::string& key, const std::string& otherwise,
                   const std::vector<std::string>& allowed) {
    std::string value = config.has(key) ? config.text(key) : otherwise;
    if (std::find(allowed.begin(), allowed.end(), value) == allowed.end()) {
        refuse(config.where(), key, c10::str("unsupported value \"", value, "\""));
    }
    return value;
}

std::vector<int64_t> integers_or(const Config& config, const std::string& key, Range range,
                                 const std::vector<int64_t>& otherwise) {
    return config.has(key) ? config.integers(key, range) : otherwise;
}

std::vector<std::string> texts_or(const Config& config, const std::string& key,
                                  const std::vector<std::string>& otherwise) {
    return config.has(key) ? config.texts(key) : otherwise;
}

std::optional<int64_t> maybe_integer(const Config& config, const std::string& key, Range range) {
    return config.has(key) ? std::optional(config.integer(key, range)) : std::nullopt;
}

// One flag, or one a level (the x4 upscaler).
std::vector<bool> read_only_cross_attention(const Config& config) {
    if (!config.is_list("only_cross_attention")) {
        return {config.flag("only_cross_attention", false)};
    }
    const std::vector<int64_t> flags = config.integers("only_cross_attention", {0, 1});
    return {flags.begin(), flags.end()};
}

void read_levels(const Config& config, UnetConfig& out) {
    out.down_block_types = texts_or(config, "down_block_types", out.down_block_types);
    out.up_block_types = texts_or(config, "up_block_types", out.up_block_types);
    out.block_out_channels =
        integers_or(config, "block_out_channels", channel_range, out.block_out_channels);
    out.layers_per_block =
        integers_or(config, "layers_per_block", count_range, out.layers_per_block);
    out.norm_num_groups = config.integer("norm_num_groups", channel_range, out.norm_num_groups);
    out.norm_eps = config.number("norm_eps", {0, 1}, out.norm_eps);
    out.act_fn = config.text("act_fn", out.act_fn);
    out.resnet_time_scale_shift =
        choice(config, "resnet_time_scale_shift", "default", {"default", "scale_shift"});
    out.conv_in_kernel = config.integer("conv_in_kernel", {1, 31}, out.conv_in_kernel);
    out.conv_out_kernel = config.integer("conv_out_kernel", {1, 31}, out.conv_out_kernel);
    // A null mid block is no mid block; a missing key is the usual one.
    const std::vector<std::string> keys = config.keys();
    const bool named = std::find(keys.begin(), keys.end(), "mid_block_type") != keys.end();
    out.mid_block_type = choice(config, "mid_block_type", named ? "" : out.mid_block_type,
                                {"", "UNetMidBlock2DCrossAttn", "UNetMidBlock2D"});
}

void read_attention(const Config& config, UnetConfig& out) {
    out.cross_attention_dim =
        integers_or(config, "cross_attention_dim", channel_range, out.cross_attention_dim);
    out.attention_head_dim =
        integers_or(config, "attention_head_dim", channel_range, out.attention_head_dim);
    out.transformer_layers_per_block = integers_or(config, "transformer_layers_per_block",
                                                   count_range, out.transformer_layers_per_block);
    out.only_cross_attention = read_only_cross_attention(config);
    out.use_linear_projection = config.flag("use_linear_projection", false);
    out.upcast_attention = config.flag("upcast_attention", false);
}

void read_conditions(const Config& config, UnetConfig& out) {
    out.flip_sin_to_cos = config.flag("flip_sin_to_cos", true);
    out.freq_shift = config.number("freq_shift", {0, 1}, 0.0);
    out.time_cond_proj_dim = maybe_integer(config, "time_cond_proj_dim", channel_range);
    out.addition_embed_type = choice(config, "addition_embed_type", "", {"", "text", "text_time"});
    out.addition_embed_type_num_heads =
        config.integer("addition_embed_type_num_heads", {1, 4096}, 64);
    out.addition_time_embed_dim = maybe_integer(config, "addition_time_embed_dim", channel_range);
    out.class_embed_type = choice(config, "class_embed_type", "",
                                  {"", "timestep", "projection", "simple_projection", "identity"});
    out.num_class_embeds = maybe_integer(config, "num_class_embeds", {1, 1e7});
    out.projection_class_embeddings_input_dim =
        maybe_integer(config, "projection_class_embeddings_input_dim", {1, 1e6});
}

template <typename T>
void expand(std::vector<T>& values, size_t levels, const std::string& key,
            const std::string& where) {
    if (values.size() == 1) {
        values.resize(levels, T(values.front()));
    }
    if (values.size() != levels) {
        refuse(where, key, c10::str(values.size(), " entries for ", levels, " levels"));
    }
}

void check_blocks(const std::vector<std::string>& types, const std::string& key,
                  const std::vector<std::string>& allowed, const std::string& where) {
    for (const std::string& type : types) {
        if (std::find(allowed.begin(), allowed.end(), type) == allowed.end()) {
            refuse(where, key, c10::str("unsupported block \"", type, "\""));
        }
    }
}

void check_widths(const UnetConfig& config, const std::string& where) {
    for (size_t i = 0; i < config.block_out_channels.size(); ++i) {
        const int64_t channels = config.block_out_channels[i];
        if (channels % config.norm_num_groups != 0) {
            refuse(where, "block_out_channels",
                   c10::str(channels, " does not divide into ", config.norm_num_groups,
                            " norm groups"));
        }
        const bool attends = config.down_block_types[i] == "CrossAttnDownBlock2D";
        if (attends && channels % config.attention_head_dim[i] != 0) {
            refuse(where, "attention_head_dim",
                   c10::str(channels, " channels do not divide into ", config.attention_head_dim[i],
                            " heads"));
        }
    }
}

// One value, which diffusers reads as "for all levels", where all levels agree.
template <typename T>
std::string json_levels(const std::vector<T>& values) {
    const bool uniform =
        std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) == values.end();
    return uniform ? json(T(values.front())) : json_list(values);
}

}  // namespace

UnetConfig read_unet_config(const Config& config) {
    const std::string class_name = config.text("_class_name", "UNet2DConditionModel");
    if (class_name != "UNet2DConditionModel") {
        refuse(config.where(), "_class_name", c10::str("unsupported network \"", class_name, "\""));
    }
    check_left_at_default(config);
    UnetConfig out;
    out.sample_size = config.is_list("sample_size")
                          ? config.integers("sample_size", channel_range).at(0)
                          : config.integer("sample_size", channel_range, out.sample_size);
    out.in_channels = config.integer("in_channels", channel_range, out.in_channels);
    out.out_channels = config.integer("out_channels", channel_range, out.out_channels);
    out.center_input_sample = config.flag("center_input_sample", false);
    read_levels(config, out);
    read_attention(config, out);
    read_conditions(config, out);
    activation_named(out.act_fn, config.where());
    expanded(out, config.where());
    return out;
}

UnetConfig expanded(UnetConfig config, const std::string& where) {
    const size_t levels = config.block_out_channels.size();
    if (levels == 0 || config.down_block_types.size() != levels ||
        config.up_block_types.size() != levels) {
        refuse(where, "block_out_channels",
               c10::str(levels, " levels for ", config.down_block_types.size(), " down and ",
                        config.up_block_types.size(), " up blocks"));
    }
    expand(config.layers_per_block, levels, "layers_per_block", where);
    expand(config.cross_attention_dim, levels, "cross_attention_dim", where);
    expand(config.attention_head_dim, levels, "attention_head_dim", where);
    expand(config.transformer_layers_per_block, levels, "transformer_layers_per_block", where);
    expand(config.only_cross_attention, levels, "only_cross_attention", where);
    check_blocks(config.down_block_types, "down_block_types",
                 {"DownBlock2D", "CrossAttnDownBlock2D"}, where);
    check_blocks(config.up_block_types, "up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D"},
                 where);
    check_widths(config, where);
    if (config.addition_embed_type == "text" &&
        config.cross_attention_dim.front() % config.addition_embed_type_num_heads != 0) {
        refuse(where, "addition_embed_type_num_heads", "does not divide cross_attention_dim");
    }
    if (config.addition_embed_type == "text_time" &&
        (!config.addition_time_embed_dim || !config.projection_class_embeddings_input_dim)) {
        refuse(where, "addition_embed_type",
               "needs addition_time_embed_dim and projection_class_embeddings_input_dim");
    }
    if (config.class_embed_type.ends_with("projection") &&
        !config.projection_class_embeddings_input_dim) {
        refuse(where, "class_embed_type", "needs projection_class_embeddings_input_dim");
    }
    return config;
}

std::string unet_config_json(const UnetConfig& config) {
    const std::vector<std::pair<std::string, std::string>> entries = {
        {"_class_name", json("UNet2DConditionModel")},
        {"act_fn", json(config.act_fn)},
        {"addition_embed_type", json_or_null(config.addition_embed_type)},
        {"addition_embed_type_num_heads", json(config.addition_embed_type_num_heads)},
        {"addition_time_embed_dim", json(config.addition_time_embed_dim)},
        {"attention_head_dim", json_levels(config.attention_head_dim)},
        {"block_out_channels", json_list(config.block_out_channels)},
        {"center_input_sample", json(config.center_input_sample)},
        {"class_embed_type", json_or_null(config.class_embed_type)},
        {"conv_in_kernel", json(config.conv_in_kernel)},
        {"conv_out_kernel", json(config.conv_out_kernel)},
        {"cross_attention_dim", json_levels(config.cross_attention_dim)},
        {"down_block_types", json_list(config.down_block_types)},
        {"flip_sin_to_cos", json(config.flip_sin_to_cos)},
        {"freq_shift", json(config.freq_shift)},
        {"in_channels", json(config.in_channels)},
        {"layers_per_block", json_levels(config.layers_per_block)},
        {"mid_block_type", json_or_null(config.mid_block_type)},
        {"norm_eps", json(config.norm_eps)},
        {"norm_num_groups", json(config.norm_num_groups)},
        {"num_class_embeds", json(config.num_class_embeds)},
        {"only_cross_attention", json_levels(config.only_cross_attention)},
        {"out_channels", json(config.out_channels)},
        {"projection_class_embeddings_input_dim",
         json(config.projection_class_embeddings_input_dim)},
        {"resnet_time_scale_shift", json(config.resnet_time_scale_shift)},
        {"sample_size", json(config.sample_size)},
        {"time_cond_proj_dim", json(config.time_cond_proj_dim)},
        {"transformer_layers_per_block", json_levels(config.transformer_layers_per_block)},
        {"up_block_types", json_list(config.up_block_types)},
        {"upcast_attention", json(config.upcast_attention)},
        {"use_linear_projection", json(config.use_linear_projection)},
    };
    return json_object(entries);
}

}  // namespace weft
