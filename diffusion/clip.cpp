#include "diffusion/clip.h"

#include <algorithm>

#include "diffusion/json_text.h"
#include "io/files/error.h"

namespace weft {
namespace {

// transformers 5 saves without the prefix that all earlier files have.
Weights text_model(const Weights& weights) {
    const bool bare = !weights.creating() && weights.has("embeddings.token_embedding.weight");
    return bare ? weights : weights.scope("text_model");
}

std::vector<ClipLayer> make_layers(const Weights& weights, const ClipTextConfig& config) {
    std::vector<ClipLayer> layers;
    for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
        layers.emplace_back(weights.scope("encoder").scope("layers", i), config);
    }
    return layers;
}

bool asks_for_projection(const Config& config) {
    if (!config.is_list("architectures")) {
        return false;
    }
    const std::vector<std::string> names = config.texts("architectures");
    return std::find(names.begin(), names.end(), "CLIPTextModelWithProjection") != names.end();
}

}  // namespace

ClipTextConfig read_clip_text_config(const Config& whole) {
    const Config config = whole.has("text_config") ? whole.object("text_config") : whole;
    const Range sizes{1, 1 << 20};
    ClipTextConfig out;
    out.vocab_size = config.integer("vocab_size", {1, 1 << 24}, out.vocab_size);
    out.hidden_size = config.integer("hidden_size", sizes, out.hidden_size);
    out.intermediate_size = config.integer("intermediate_size", sizes, out.intermediate_size);
    out.num_hidden_layers = config.integer("num_hidden_layers", {1, 256}, out.num_hidden_layers);
    out.num_attention_heads =
        config.integer("num_attention_heads", {1, 1024}, out.num_attention_heads);
    out.max_position_embeddings =
        config.integer("max_position_embeddings", sizes, out.max_position_embeddings);
    out.hidden_act = config.text("hidden_act", out.hidden_act);
    out.projection_dim = config.integer("projection_dim", sizes, out.projection_dim);
    out.eos_token_id = config.integer("eos_token_id", {0, 1 << 24}, out.eos_token_id);
    out.bos_token_id = config.integer("bos_token_id", {0, 1 << 24}, out.bos_token_id);
    out.pad_token_id = config.integer("pad_token_id", {0, 1 << 24}, out.pad_token_id);
    out.layer_norm_eps = config.number("layer_norm_eps", {0, 1}, out.layer_norm_eps);
    out.with_projection = asks_for_projection(whole);
    activation_named(out.hidden_act, config.where());
    if (out.hidden_size % out.num_attention_heads != 0) {
        throw Error(config.where(),
                    c10::str("\"num_attention_heads\": ", out.hidden_size, " does not divide into ",
                             out.num_attention_heads, " heads"));
    }
    return out;
}

std::string clip_text_config_json(const ClipTextConfig& config) {
    const char* architecture =
        config.with_projection ? "CLIPTextModelWithProjection" : "CLIPTextModel";
    return json_object({
        {"architectures", json_list(std::vector<std::string>{architecture})},
        {"model_type", json("clip_text_model")},
        {"attention_dropout", json(0.0)},
        {"bos_token_id", json(config.bos_token_id)},
        {"eos_token_id", json(config.eos_token_id)},
        {"hidden_act", json(config.hidden_act)},
        {"hidden_size", json(config.hidden_size)},
        {"intermediate_size", json(config.intermediate_size)},
        {"layer_norm_eps", json(config.layer_norm_eps)},
        {"max_position_embeddings", json(config.max_position_embeddings)},
        {"num_attention_heads", json(config.num_attention_heads)},
        {"num_hidden_layers", json(config.num_hidden_layers)},
        {"pad_token_id", json(config.pad_token_id)},
        {"projection_dim", json(config.projection_dim)},
        {"vocab_size", json(config.vocab_size)},
    });
}

ClipLayer::ClipLayer(const Weights& weights, const ClipTextConfig& config)
    : heads_(config.num_attention_heads),
      activation_(activation_named(config.hidden_act, "hidden_act")),
      layer_norm1_(weights.scope("layer_norm1"), config.hidden_size, config.layer_norm_eps),
      q_proj_(weights.scope("self_attn").scope("q_proj"), config.hidden_size, config.hidden_size),
      k_proj_(weights.scope("self_attn").scope("k_proj"), config.hidden_size, config.hidden_size),
      v_proj_(weights.scope("self_attn").scope("v_proj"), config.hidden_size, config.hidden_size),
      out_proj_(weights.scope("self_attn").scope("out_proj"), config.hidden_size,
                config.hidden_size, {.init = {Init::Kind::kaiming_normal, 0.5}}),
      layer_norm2_(weights.scope("layer_norm2"), config.hidden_size, config.layer_norm_eps),
      fc1_(weights.scope("mlp").scope("fc1"), config.hidden_size, config.intermediate_size),
      fc2_(weights.scope("mlp").scope("fc2"), config.intermediate_size, config.hidden_size,
           {.init = {Init::Kind::kaiming_normal, 0.5}}) {}

torch::Tensor ClipLayer::operator()(const torch::Tensor& x) const {
    const torch::Tensor own = layer_norm1_(x);
    const torch::Tensor seen =
        attend(q_proj_(own), k_proj_(own), v_proj_(own), {.heads = heads_, .causal = true});
    const torch::Tensor y = x + out_proj_(seen);
    return y + fc2_(activate(fc1_(layer_norm2_(y)), activation_));
}

ClipTextModel::ClipTextModel(const ClipTextConfig& config, const Weights& weights)
    : config_(config),
      token_embedding_(text_model(weights).scope("embeddings").scope("token_embedding"),
                       config.vocab_size, config.hidden_size),
      position_embedding_(text_model(weights).scope("embeddings").scope("position_embedding"),
                          config.max_position_embeddings, config.hidden_size),
      layers_(make_layers(text_model(weights), config)),
      final_layer_norm_(text_model(weights).scope("final_layer_norm"), config.hidden_size,
                        config.layer_norm_eps) {
    if (config.with_projection || weights.has("text_projection.weight")) {
        config_.with_projection = true;
        text_projection_.emplace(weights.scope("text_projection"), config.hidden_size,
                                 config.projection_dim, LinearOptions{.bias = false});
    }
}

torch::Tensor ClipTextModel::pooled_positions(const torch::Tensor& ids) const {
    if (config_.eos_token_id == 2) {
        return ids.masked_fill(ids >= config_.vocab_size, 0).argmax(1);
    }
    return ids.eq(config_.eos_token_id).to(torch::kInt64).argmax(1);
}

torch::Tensor ClipTextModel::embed(const torch::Tensor& ids,
                                   const torch::Tensor& added_tokens) const {
    if (!added_tokens.defined()) {
        return token_embedding_(ids);
    }
    const torch::Tensor rows = (ids - config_.vocab_size).clamp_min(0);
    TORCH_CHECK(rows.max().item<int64_t>() < added_tokens.size(0) &&
                    added_tokens.size(1) == config_.hidden_size,
                "added tokens ", added_tokens.sizes(), " for id ", ids.max().item<int64_t>(),
                " above a vocabulary of ", config_.vocab_size);
    const torch::Tensor known = token_embedding_(ids.clamp_max(config_.vocab_size - 1));
    const torch::Tensor added = torch::embedding(added_tokens.to(known), rows);
    return torch::where((ids >= config_.vocab_size).unsqueeze(-1), added, known);
}

TextStates ClipTextModel::operator()(const torch::Tensor& ids, const ClipTextInputs& inputs) const {
    TORCH_CHECK(ids.dim() == 2 && ids.size(1) <= config_.max_position_embeddings, "ids ",
                ids.sizes(), " for at most ", config_.max_position_embeddings, " tokens");
    const auto layers = static_cast<int64_t>(layers_.size());
    TORCH_CHECK(inputs.skip_layers >= 0 && inputs.skip_layers <= layers, "skip ",
                inputs.skip_layers, " of ", layers, " layers");
    torch::Tensor x =
        embed(ids, inputs.added_tokens) + position_embedding_.table().narrow(0, 0, ids.size(1));
    TextStates states;
    for (int64_t i = 0; i < layers; ++i) {
        states.penultimate_hidden_state = x;
        states.hidden_state = i == layers - inputs.skip_layers ? x : states.hidden_state;
        x = layers_[static_cast<size_t>(i)](x);
    }
    states.hidden_state = inputs.skip_layers == 0 ? x : states.hidden_state;
    states.last_hidden_state = final_layer_norm_(x);
    const torch::Tensor rows = torch::arange(ids.size(0), ids.options());
    states.pooled =
        states.last_hidden_state.index({rows, pooled_positions(ids)});  // [n, hidden_size]
    if (text_projection_) {
        states.pooled = (*text_projection_)(states.pooled);
    }
    return states;
}

}  // namespace weft
