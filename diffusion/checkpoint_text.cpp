#include <c10/util/StringUtil.h>

#include <array>

#include "diffusion/checkpoint_rules.h"

namespace weft {
namespace {

constexpr std::array<Piece, 3> top_pieces{{
    {"token_embedding", "text_model.embeddings.token_embedding"},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"ln_final", "text_model.final_layer_norm"},
}};

constexpr std::array<Piece, 5> layer_pieces{{
    {"ln_1", "layer_norm1"},
    {"ln_2", "layer_norm2"},
    {"mlp.c_fc", "mlp.fc1"},
    {"mlp.c_proj", "mlp.fc2"},
    {"attn.out_proj", "self_attn.out_proj"},
}};

using Names = std::vector<std::pair<std::string, Reshaping>>;

// One matrix holds the projections to queries, keys and values, one above the other.
Names fused(const std::string& layer, const std::string& kind) {
    return {{c10::str(layer, "self_attn.q_proj.", kind), Reshaping::first_third},
            {c10::str(layer, "self_attn.k_proj.", kind), Reshaping::second_third},
            {c10::str(layer, "self_attn.v_proj.", kind), Reshaping::last_third}};
}

// A third of the fused projection, where `rest` of a layer's name is one.
std::optional<Renamed> original_third(const std::string& place, std::string_view rest) {
    constexpr std::array<std::pair<std::string_view, Reshaping>, 3> thirds{
        {{"self_attn.q_proj.", Reshaping::first_third},
         {"self_attn.k_proj.", Reshaping::second_third},
         {"self_attn.v_proj.", Reshaping::last_third}}};
    for (const auto& [start, third] : thirds)
        if (rest.starts_with(start))
            return Renamed{c10::str(place, "attn.in_proj_", rest.substr(start.size())), third};
    return {};
}

}  // namespace

std::optional<Renamed> original_open_clip_name(std::string_view name) {
    if (const auto top = restored_start(name, top_pieces))
        return Renamed{*top};
    if (name == "text_projection.weight")
        return Renamed{"text_projection", Reshaping::transposed};
    constexpr std::string_view layers = "text_model.encoder.layers.";
    const auto layer =
        name.starts_with(layers) ? leading_number(name.substr(layers.size())) : std::nullopt;
    if (!layer)
        return {};
    const std::string place = c10::str("transformer.resblocks.", layer->first, ".");
    if (auto third = original_third(place, layer->second))
        return third;
    const auto own = restored_start(layer->second, layer_pieces);
    return own ? std::optional(Renamed{place + *own}) : std::nullopt;
}

std::optional<std::string> clip_text_name(std::string_view name) {
    if (name.ends_with("position_ids"))
        return {};
    if (name.starts_with("text_model."))
        return std::string(name);
    // Checkpoints of early 2023 lack the prefix.
    if (name.starts_with("embeddings.") || name.starts_with("encoder.") ||
        name.starts_with("final_layer_norm."))
        return c10::str("text_model.", name);
    return {};
}

Names open_clip_text_names(std::string_view name, const OpenClipRules& rules) {
    if (const auto top = replaced_start(name, top_pieces))
        return {{*top, Reshaping::none}};
    if (name == "text_projection")
        return rules.projects ? Names{{"text_projection.weight", Reshaping::transposed}} : Names{};
    constexpr std::string_view blocks = "transformer.resblocks.";
    const auto layer =
        name.starts_with(blocks) ? leading_number(name.substr(blocks.size())) : std::nullopt;
    if (!layer || layer->first >= rules.layers_used)
        return {};
    const std::string place = c10::str("text_model.encoder.layers.", layer->first, ".");
    if (layer->second == "attn.in_proj_weight")
        return fused(place, "weight");
    if (layer->second == "attn.in_proj_bias")
        return fused(place, "bias");
    const auto own = replaced_start(layer->second, layer_pieces);
    return own ? Names{{place + *own, Reshaping::none}} : Names{};
}

}  // namespace weft
