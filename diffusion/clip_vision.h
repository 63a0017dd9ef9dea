#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/layers.h"
#include "io/files/config.h"

namespace weft {

/// Fields are named and defaulted as the keys of transformers' CLIPVisionConfig.
struct ClipVisionConfig {
    int64_t hidden_size = 768;
    int64_t intermediate_size = 3072;
    int64_t num_hidden_layers = 12;
    int64_t num_attention_heads = 12;
    int64_t image_size = 224;
    int64_t patch_size = 32;
    std::string hidden_act = "quick_gelu";  // or "gelu"
    int64_t projection_dim = 512;
    double layer_norm_eps = 1e-5;
};

/// Reads image_encoder/config.json, or the "vision_config" object of a whole CLIP model.
ClipVisionConfig read_clip_vision_config(const Config& config);

/// What the image encoder makes of n pictures.
struct ImageStates {
    torch::Tensor last_hidden_state;  // [n, 1 + patches, hidden_size], not normalised
    torch::Tensor pooled;             // [n, hidden_size], the class token, normalised
    torch::Tensor embeds;  // [n, projection_dim]; undefined where the weights do not project
};

/// The image tower of CLIP (Radford 2021) with transformers' tensor names. Immutable, thread-safe.
class ClipVisionModel {
  public:
    ClipVisionModel(const ClipVisionConfig& config, const Weights& weights);
    ~ClipVisionModel();
    ClipVisionModel(const ClipVisionModel&) = delete;
    ClipVisionModel& operator=(const ClipVisionModel&) = delete;

    /// @param pixels [n, 3, image_size, image_size], as clip_pixels() gives them
    ImageStates operator()(const torch::Tensor& pixels) const;

    const ClipVisionConfig& config() const { return config_; }

  private:
    struct Layers;
    ClipVisionConfig config_;
    std::unique_ptr<const Layers> layers_;
};

/// Pictures [n, 3, h, w] in [0, 1] as CLIP sees them: the shorter side becomes `side` (bicubic,
/// antialiased), the middle is cut out, and channels are normalised by CLIP's mean and deviation.
torch::Tensor clip_pixels(const torch::Tensor& pictures, int64_t side);

/// Both towers of a CLIP: how near a picture is to a text. Thread-safe: yes (immutable).
class ClipScorer {
  public:
    /// A folder as transformers saves a CLIPModel: config.json, model.safetensors, vocab.json and
    /// merges.txt (or tokenizer.json). Throws Error where one is missing or does not fit.
    explicit ClipScorer(const std::filesystem::path& folder, WeightOptions options = {});
    ~ClipScorer();
    ClipScorer(const ClipScorer&) = delete;
    ClipScorer& operator=(const ClipScorer&) = delete;

    /// Projected embedding of length 1, [1, projection_dim].
    torch::Tensor text(const std::string& text) const;

    struct Picture {
        torch::Tensor embeds;  // [n, projection_dim], projected, of length 1
        torch::Tensor pooled;  // [n, hidden_size], not projected, of length 1
    };

    /// @param pictures [n, 3, h, w] in [0, 1]
    Picture pictures(const torch::Tensor& pictures) const;

  private:
    struct Towers;
    std::unique_ptr<const Towers> towers_;
};

}  // namespace weft
