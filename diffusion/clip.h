#pragma once

#include <torch/types.h>

#include <optional>
#include <string>
#include <vector>

#include "diffusion/attention.h"
#include "diffusion/layers.h"
#include "io/files/config.h"

namespace weft {

/// Fields are named and defaulted as the keys of transformers' CLIPTextConfig.
struct ClipTextConfig {
    int64_t vocab_size = 49408;
    int64_t hidden_size = 512;
    int64_t intermediate_size = 2048;
    int64_t num_hidden_layers = 12;
    int64_t num_attention_heads = 8;
    int64_t max_position_embeddings = 77;
    std::string hidden_act = "quick_gelu";  // or "gelu"
    int64_t projection_dim = 512;
    /// The token whose state is the pooled one: its first position. The value 2 of old configs
    /// means "the largest id", which is where OpenAI's vocabulary has the end token.
    int64_t eos_token_id = 49407;
    int64_t bos_token_id = 49406;
    int64_t pad_token_id = 1;
    double layer_norm_eps = 1e-5;
    /// CLIPTextModelWithProjection; read_clip_text_config takes it from "architectures".
    bool with_projection = false;
};

/// Reads text_encoder/config.json, or the "text_config" object of a whole CLIP model.
ClipTextConfig read_clip_text_config(const Config& config);
/// The text of a config.json that transformers reads.
std::string clip_text_config_json(const ClipTextConfig& config);

/// What a text encoder makes of n prompts of t tokens.
struct TextStates {
    torch::Tensor last_hidden_state;  // [n, t, hidden_size], normalised
    torch::Tensor
        penultimate_hidden_state;  // [n, t, hidden_size], before the last layer, not normalised
    torch::Tensor hidden_state;    // [n, t, hidden_size], ClipTextInputs::skip_layers before the
                                   // end, not normalised
    torch::Tensor pooled;          // [n, hidden_size], or [n, projection_dim] with a projection
};

/// What a call of the text encoder may give beside ids.
struct ClipTextInputs {
    /// [k, hidden_size]: embeddings of ids vocab_size .. vocab_size + k - 1 (textual inversion).
    torch::Tensor added_tokens = {};
    /// Layers left out of TextStates::hidden_state, from the end, in [0, num_hidden_layers].
    int64_t skip_layers = 0;
};

/// One pre-normalised layer: names layer_norm1, self_attn.{q,k,v,out}_proj, layer_norm2,
/// mlp.{fc1,fc2}.
class ClipLayer {
  public:
    ClipLayer(const Weights& weights, const ClipTextConfig& config);
    /// [n, t, hidden_size] -> same; token i sees tokens <= i
    torch::Tensor operator()(const torch::Tensor& x) const;

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

/// The text tower of CLIP (Radford 2021) with transformers' tensor names, with or without their
/// "text_model." prefix (created weights have it). It projects where the weights hold
/// text_projection or the config asks for it. Immutable, thread-safe.
class ClipTextModel {
  public:
    ClipTextModel(const ClipTextConfig& config, const Weights& weights);
    /// ids [n, t] i64, t <= max_position_embeddings, each in [0, vocab_size), or above it where
    /// inputs.added_tokens has a row for it
    TextStates operator()(const torch::Tensor& ids, const ClipTextInputs& inputs = {}) const;

    /// The final layer norm, which last_hidden_state has had: [..., hidden_size], same shape out.
    torch::Tensor normalised(const torch::Tensor& states) const {
        return final_layer_norm_(states);
    }

    const ClipTextConfig& config() const { return config_; }

  private:
    torch::Tensor embed(const torch::Tensor& ids, const torch::Tensor& added_tokens) const;
    torch::Tensor pooled_positions(const torch::Tensor& ids) const;

    ClipTextConfig config_;
    Embedding token_embedding_;
    Embedding position_embedding_;
    std::vector<ClipLayer> layers_;
    LayerNorm final_layer_norm_;
    std::optional<Linear> text_projection_;
};

}  // namespace weft
