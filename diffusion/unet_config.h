#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/layers.h"
#include "io/files/config.h"

namespace weft {

/// The shape of a UNet2DConditionModel; fields are named and defaulted as diffusers' config keys. A
/// vector with one entry a level may also hold a single entry that counts for all levels.
struct UnetConfig {
    int64_t sample_size = 64;  // latent height and width it was trained at; informative
    int64_t in_channels = 4;
    int64_t out_channels = 4;
    bool center_input_sample = false;  // the input is mapped by 2x - 1

    // Levels, from the full latent size down.
    std::vector<std::string> down_block_types = {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                                                 "CrossAttnDownBlock2D", "DownBlock2D"};
    std::vector<std::string> up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D",
                                               "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"};
    /// "UNetMidBlock2DCrossAttn", "UNetMidBlock2D" (one residual block) or "" for none.
    std::string mid_block_type = "UNetMidBlock2DCrossAttn";
    std::vector<int64_t> block_out_channels = {320, 640, 1280, 1280};
    std::vector<int64_t> layers_per_block = {2};
    int64_t norm_num_groups = 32;
    double norm_eps = 1e-5;
    std::string act_fn = "silu";
    /// "default" (added) or "scale_shift".
    std::string resnet_time_scale_shift = "default";
    int64_t conv_in_kernel = 3;
    int64_t conv_out_kernel = 3;

    // Attention.
    std::vector<int64_t> cross_attention_dim = {1280};  // width of encoder_hidden_states
    /// The number of heads, whatever the name says: diffusers keeps this misnomer for its old
    /// models.
    std::vector<int64_t> attention_head_dim = {8};
    std::vector<int64_t> transformer_layers_per_block = {1};
    std::vector<bool> only_cross_attention = {false};
    bool use_linear_projection = false;
    /// Kept for the config file; the fused attention accumulates in f32 anyway.
    bool upcast_attention = false;

    // Time and further conditions.
    bool flip_sin_to_cos = true;
    double freq_shift = 0;
    std::optional<int64_t> time_cond_proj_dim;  // width of UnetInputs::timestep_cond
    /// "", "text" (pooled from encoder_hidden_states) or "text_time" (SDXL).
    std::string addition_embed_type;
    int64_t addition_embed_type_num_heads = 64;      // of the pooling of "text"
    std::optional<int64_t> addition_time_embed_dim;  // sinusoid width of each of time_ids
    /// "" (with num_class_embeds: a table), "timestep", "projection", "simple_projection",
    /// "identity".
    std::string class_embed_type;
    std::optional<int64_t> num_class_embeds;
    std::optional<int64_t> projection_class_embeddings_input_dim;
};

/// Reads unet/config.json. A missing key takes diffusers' default; a value or an option that weft
/// does not build is an Error that names the key. Unknown keys are left alone.
UnetConfig read_unet_config(const Config& config);

/// The text of a config.json from which diffusers makes the same UNet.
std::string unet_config_json(const UnetConfig& config);

/// The same config with every per-level vector at full length, checked for consistency: block lists
/// of one length, channels that divide into norm groups and heads. Violations are Errors quoting
/// `where`.
UnetConfig expanded(UnetConfig config, const std::string& where);

}  // namespace weft
