#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace weft {

/// One kind of training picture: drawn `height` x `width`, encoded, and, where `crop` > 0, cut at
/// random to crop x crop pixels (edits are local, so crops teach them cheaply).
struct Bucket {
    int64_t height = 128;      // px, multiple of the autoencoder's patch
    int64_t width = 128;       // px
    int64_t crop = 0;          // px; 0: the whole picture
    int64_t batch = 16;        // pictures a step
    int64_t views = 1;         // crops of each picture in a step; they share one text
    double share = 1.0;        // relative number of steps
    double generation = 0.25;  // share of text-only pictures (no source), [0, 1]
};

/// How long and how fast one part of the model trains.
struct StageRecipe {
    int64_t steps = 1000;
    double minutes = 0;  // time budget; 0: none. The schedule follows whichever ends first.
    double learning_rate = 6e-4;
    int64_t warmup = 100;  // steps
    double weight_decay = 0.01;
    double clip_norm = 1.0;  // gradients are scaled down to this norm
    double ema_decay = 0.999;
    int64_t batch = 32;  // autoencoder: crops a step
    int64_t crop = 64;   // autoencoder: px
    int64_t pool = 512;  // pictures drawn at once
    double reuse = 4;    // times each drawn picture is used on average
    double checkpoint_minutes = 5;
    double sheet_minutes = 10;    // sample sheets while training
    std::vector<Bucket> buckets;  // unet only
    // Timesteps are drawn as train_steps * u^timestep_power, u uniform: below 1 favours high noise,
    // where an edit is decided; `terminal_share` of them are the last one, where every sampling
    // walk starts.
    double timestep_power = 0.6;
    double terminal_share = 0.15;
};

/// Shapes of the autoencoder (PatchAutoencoder).
struct AutoencoderShape {
    int64_t patch = 8, latent_channels = 16, hidden_channels = 128;
    int64_t encoder_blocks = 2, decoder_blocks = 4;
    double latent_noise = 0.08;    // std of the noise the decoder learns to bear
    double gradient_weight = 0.5;  // weight of the L1 loss on picture gradients
};

/// Shapes of the UNet; the lower `attention_levels` levels have attention.
struct UnetShape {
    std::vector<int64_t> block_out_channels = {96, 192, 288};
    int64_t layers_per_block = 1;
    int64_t attention_levels = 2;
    int64_t head_width = 32;
};

/// Shapes of the text encoder and the size of its learned vocabulary.
struct TextShape {
    int64_t width = 256, layers = 4, heads = 4, merges = 2000;
};

/// A whole training run as data; read from TOML. Thread-safe: yes (a value).
struct Recipe {
    std::string name = "weft model";
    uint64_t seed = 1;
    TextShape text;
    AutoencoderShape autoencoder_shape;
    UnetShape unet_shape;
    StageRecipe autoencoder;
    StageRecipe unet;
    // What the finished model recommends (weft.json).
    int64_t steps = 8;
    double guidance = 1.5;
    int64_t generation_steps = 20;  // from text alone
    double generation_guidance = 3;
    int64_t native_size = 256;  // px, generation
    int64_t edit_size = 512;    // px, longer side of edits
};

/// Reads a recipe for a device type ("cpu" or "cuda"): tables [autoencoder.cpu], [unet.gpu], ...
/// override [autoencoder], [unet]. Throws UsageError that lists every problem (unknown keys too)
/// with its line.
Recipe read_recipe(const std::filesystem::path& path, bool on_gpu);

}  // namespace weft
