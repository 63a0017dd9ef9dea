#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace weft {

/// The layouts that single-file checkpoints come in, told by the names of their tensors: CompVis'
/// (Stable Diffusion 1, CLIP text), Stability's (2, OpenCLIP text) and SGM's (SDXL base, refiner).
enum class CheckpointKind { sd1, sd2, sdxl, sdxl_refiner };

/// What the renaming must know of a checkpoint besides its names; all of it is read off them.
struct CheckpointLayout {
    CheckpointKind kind = CheckpointKind::sd1;
    int64_t unet_layers = 2;       // residual blocks a level
    int64_t vae_levels = 4;        // of the autoencoder
    int64_t text_layers_used = 0;  // OpenCLIP layers that stay; SD 2 drops the last one
    bool label_table = false;      // label_emb is a table (the upscaler)
};

/// How a stored tensor becomes the one of the diffusers layout.
enum class Reshaping {
    none,
    transposed,   // [a, b] -> [b, a]
    linear,       // a 1x1 convolution [a, b, 1, 1] -> [a, b]
    first_third,  // rows of a fused [3 d, ...] projection
    second_third,
    last_third,
};

/// A tensor of the diffusers layout and where it comes from.
struct CheckpointName {
    std::string component;  // "unet", "vae", "text_encoder", "text_encoder_2"
    std::string name;       // in that component
    std::string stored;     // in the checkpoint
    Reshaping reshaping = Reshaping::none;
};

/// The layout of the checkpoint with these names; nullopt where they are of no known layout.
std::optional<CheckpointLayout> checkpoint_layout(const std::vector<std::string>& names);

/// What the stored tensor `stored` becomes: nothing (training leftovers, unknown names), one tensor
/// or, for fused projections, three.
std::vector<CheckpointName> diffusers_names(const std::string& stored,
                                            const CheckpointLayout& layout);

/// The other way: a tensor of a checkpoint and what it is made of.
struct StoredName {
    std::string stored;
    std::string component;
    /// Names in the component; three for a fused projection (one above the other), else one.
    std::vector<std::string> parts;
    Reshaping reshaping = Reshaping::none;  // of diffusers_names, to be undone; never a third
};

/// Component -> names in the diffusers layout.
using ComponentNames = std::map<std::string, std::vector<std::string>>;

/// The layout a model of these names has as a checkpoint; nullopt where it has none (another
/// autoencoder or network, SDXL parts missing).
std::optional<CheckpointLayout> original_layout(const ComponentNames& names, bool is_open_clip);

/// How a model with these names is stored, sorted by stored name. `unmatched` gets, as
/// "component: name", what has no name there. Stable Diffusion 2's text encoder runs one layer less
/// than its checkpoints hold: the last one is written as a copy of the one before.
std::vector<StoredName> stored_names(const ComponentNames& names, const CheckpointLayout& layout,
                                     std::vector<std::string>& unmatched);

/// True for names that checkpoints carry and no model needs: averaged copies (model_ema.*), noise
/// tables of training, position ids.
bool is_leftover(const std::string& stored, const CheckpointLayout& layout);

}  // namespace weft
