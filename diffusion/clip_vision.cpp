#include "diffusion/clip_vision.h"

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "diffusion/attention.h"
#include "diffusion/clip.h"
#include "diffusion/tokenizer.h"
#include "io/files/error.h"

namespace weft {
namespace {

/// One pre-normalised layer in which every token sees every other.
class VisionLayer {
  public:
    VisionLayer(const Weights& weights, const ClipVisionConfig& config)
        : heads_(config.num_attention_heads),
          activation_(activation_named(config.hidden_act, "hidden_act")),
          layer_norm1_(weights.scope("layer_norm1"), config.hidden_size, config.layer_norm_eps),
          q_proj_(weights.scope("self_attn.q_proj"), config.hidden_size, config.hidden_size),
          k_proj_(weights.scope("self_attn.k_proj"), config.hidden_size, config.hidden_size),
          v_proj_(weights.scope("self_attn.v_proj"), config.hidden_size, config.hidden_size),
          out_proj_(weights.scope("self_attn.out_proj"), config.hidden_size, config.hidden_size),
          layer_norm2_(weights.scope("layer_norm2"), config.hidden_size, config.layer_norm_eps),
          fc1_(weights.scope("mlp.fc1"), config.hidden_size, config.intermediate_size),
          fc2_(weights.scope("mlp.fc2"), config.intermediate_size, config.hidden_size) {}

    torch::Tensor operator()(const torch::Tensor& x) const {
        const auto own = layer_norm1_(x);
        const auto seen = attend(q_proj_(own), k_proj_(own), v_proj_(own), {.heads = heads_});
        const auto y = x + out_proj_(seen);
        return y + fc2_(activate(fc1_(layer_norm2_(y)), activation_));
    }

  private:
    int64_t heads_;
    Activation activation_;
    LayerNorm layer_norm1_;
    Linear q_proj_;
    Linear k_proj_;
    Linear v_proj_;
    Linear out_proj_;
    LayerNorm layer_norm2_;
    Linear fc1_;
    Linear fc2_;
};

std::vector<VisionLayer> make_layers(const Weights& weights, const ClipVisionConfig& config) {
    std::vector<VisionLayer> layers;
    for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
        layers.emplace_back(weights.scope("encoder").scope("layers", i), config);
    }
    return layers;
}

int64_t patches(const ClipVisionConfig& config) {
    const int64_t side = config.image_size / config.patch_size;
    return side * side;
}

torch::Tensor of_length_1(const torch::Tensor& vectors) {
    const auto values = vectors.to(torch::kFloat32);
    return values / values.norm(2, -1, true).clamp_min(1e-12);
}

}  // namespace

ClipVisionConfig read_clip_vision_config(const Config& whole) {
    const Config config = whole.has("vision_config") ? whole.object("vision_config") : whole;
    const Range sizes{1, 1 << 20};
    ClipVisionConfig out;
    out.hidden_size = config.integer("hidden_size", sizes, out.hidden_size);
    out.intermediate_size = config.integer("intermediate_size", sizes, out.intermediate_size);
    out.num_hidden_layers = config.integer("num_hidden_layers", {1, 256}, out.num_hidden_layers);
    out.num_attention_heads =
        config.integer("num_attention_heads", {1, 1024}, out.num_attention_heads);
    out.image_size = config.integer("image_size", {1, 4096}, out.image_size);
    out.patch_size = config.integer("patch_size", {1, 4096}, out.patch_size);
    out.hidden_act = config.text("hidden_act", out.hidden_act);
    // A whole model keeps the width that both towers project to outside of them.
    out.projection_dim = whole.integer("projection_dim", sizes,
                                       config.integer("projection_dim", sizes, out.projection_dim));
    out.layer_norm_eps = config.number("layer_norm_eps", {0, 1}, out.layer_norm_eps);
    activation_named(out.hidden_act, config.where());
    if (out.hidden_size % out.num_attention_heads != 0 || out.patch_size > out.image_size) {
        throw Error(config.where(),
                    c10::str("a picture of ", out.image_size, " in patches of ", out.patch_size,
                             ", width ", out.hidden_size, " in ", out.num_attention_heads,
                             " heads does not go together"),
                    "use the config.json that belongs to the weights");
    }
    return out;
}

struct ClipVisionModel::Layers {
    torch::Tensor class_embedding;     // [hidden_size]
    torch::Tensor patch_embedding;     // [hidden_size, 3, patch, patch]
    torch::Tensor position_embedding;  // [1 + patches, hidden_size]
    LayerNorm pre_norm;
    std::vector<VisionLayer> layers;
    LayerNorm post_norm;
    std::optional<Linear> projection;

    Layers(const ClipVisionConfig& config, const Weights& weights, const Weights& model)
        : class_embedding(model.at("embeddings.class_embedding", {config.hidden_size})),
          patch_embedding(model.at("embeddings.patch_embedding.weight",
                                   {config.hidden_size, 3, config.patch_size, config.patch_size})),
          position_embedding(model.at("embeddings.position_embedding.weight",
                                      {1 + patches(config), config.hidden_size})),
          // Spelt so in every file there is.
          pre_norm(model.scope("pre_layrnorm"), config.hidden_size, config.layer_norm_eps),
          layers(make_layers(model, config)),
          post_norm(model.scope("post_layernorm"), config.hidden_size, config.layer_norm_eps) {
        if (weights.has("visual_projection.weight")) {
            projection.emplace(weights.scope("visual_projection"), config.hidden_size,
                               config.projection_dim, LinearOptions{.bias = false});
        }
    }
};

ClipVisionModel::ClipVisionModel(const ClipVisionConfig& config, const Weights& weights)
    : config_(config),
      layers_(std::make_unique<const Layers>(config, weights, weights.scope("vision_model"))) {}

ClipVisionModel::~ClipVisionModel() = default;

ImageStates ClipVisionModel::operator()(const torch::Tensor& pixels) const {
    const int64_t side = config_.image_size;
    TORCH_CHECK(pixels.dim() == 4 && pixels.sizes().slice(1) == torch::IntArrayRef({3, side, side}),
                "pixels ", pixels.sizes(), " for CLIP of ", side, " px");
    const auto n = pixels.size(0);
    const auto tokens = at::conv2d(pixels.to(layers_->patch_embedding), layers_->patch_embedding,
                                   {}, {config_.patch_size, config_.patch_size})
                            .flatten(2)
                            .transpose(1, 2);  // [n, patches, hidden_size]
    const auto first = layers_->class_embedding.view({1, 1, -1}).expand({n, 1, -1});
    auto x = layers_->pre_norm(torch::cat({first, tokens}, 1) + layers_->position_embedding);
    for (const VisionLayer& layer : layers_->layers) {
        x = layer(x);
    }
    ImageStates states{x, layers_->post_norm(x.select(1, 0)), {}};
    if (layers_->projection) {
        states.embeds = (*layers_->projection)(states.pooled);
    }
    return states;
}

torch::Tensor clip_pixels(const torch::Tensor& pictures, int64_t side) {
    TORCH_CHECK(pictures.dim() == 4 && pictures.size(1) == 3, "pictures of shape ",
                pictures.sizes());
    const auto height = pictures.size(2);
    const auto width = pictures.size(3);
    const auto shorter = std::min(height, width);
    // As transformers does, the longer side is cut to a whole number.
    const std::array<int64_t, 2> size{side * height / shorter, side * width / shorter};
    const auto small =
        at::_upsample_bicubic2d_aa(pictures.to(torch::kFloat32), size, /*align_corners=*/false)
            .clamp(0, 1);
    const auto cut =
        small.narrow(2, (size[0] - side) / 2, side).narrow(3, (size[1] - side) / 2, side);
    const auto constants = [&](double r, double g, double b) {
        return torch::tensor({r, g, b}, cut.options()).view({1, 3, 1, 1});
    };
    return (cut - constants(0.48145466, 0.4578275, 0.40821073)) /
           constants(0.26862954, 0.26130258, 0.27577711);
}

namespace {

/// A whole model's own "projection_dim" holds for both towers, whatever their parts say.
ClipTextConfig text_config_of(const Config& whole) {
    auto config = read_clip_text_config(whole);
    config.projection_dim = read_clip_vision_config(whole).projection_dim;
    return config;
}

}  // namespace

struct ClipScorer::Towers {
    Tokenizer tokenizer;
    ClipTextModel text;
    ClipVisionModel vision;

    Towers(const std::filesystem::path& folder, const Config& config, const Weights& weights)
        : tokenizer(Tokenizer::read(folder)),
          text(text_config_of(config), weights),
          vision(read_clip_vision_config(config), weights) {}
};

ClipScorer::ClipScorer(const std::filesystem::path& folder, WeightOptions options) {
    const auto config = Config::read(folder / "config.json");
    const auto file = folder / "model.safetensors";
    const auto weights = Weights::load({file}, options);
    if (!weights.has("visual_projection.weight") || !weights.has("text_projection.weight")) {
        throw Error(file.string(), "holds no whole CLIP with both projections",
                    "give a folder as transformers saves a CLIPModel");
    }
    towers_ = std::make_unique<const Towers>(folder, config, weights);
}

ClipScorer::~ClipScorer() = default;

torch::Tensor ClipScorer::text(const std::string& text) const {
    const auto ids = torch::tensor(towers_->tokenizer.encode(text)).unsqueeze(0);
    return of_length_1(towers_->text(ids).pooled);
}

ClipScorer::Picture ClipScorer::pictures(const torch::Tensor& pictures) const {
    const auto states = towers_->vision(clip_pixels(pictures, towers_->vision.config().image_size));
    return {of_length_1(states.embeds), of_length_1(states.pooled)};
}

}  // namespace weft
