#include <c10/util/StringUtil.h>

#include <array>
#include <charconv>

#include "diffusion/checkpoint_rules.h"

namespace weft {
namespace {

constexpr std::array<Piece, 7> top_pieces{{
    {"time_embed.0", "time_embedding.linear_1"},
    {"time_embed.2", "time_embedding.linear_2"},
    {"time_embed.cond_proj", "time_embedding.cond_proj"},
    {"input_blocks.0.0", "conv_in"},
    {"out.0", "conv_norm_out"},
    {"out.2", "conv_out"},
    {"label_emb.0.0", "add_embedding.linear_1"},
}};

constexpr std::array<Piece, 6> resnet_pieces{{
    {"in_layers.0", "norm1"},
    {"in_layers.2", "conv1"},
    {"emb_layers.1", "time_emb_proj"},
    {"out_layers.0", "norm2"},
    {"out_layers.3", "conv2"},
    {"skip_connection", "conv_shortcut"},
}};

// Transformers are named alike within; residual blocks are not. In an output block the layer after
// the residual block is a transformer or already the upsampler.
std::optional<std::string> layer_name(const std::string& level, int64_t layer, int64_t part,
                                      std::string_view rest) {
    if (part == 0) {
        const auto own = replaced_start(rest, resnet_pieces);
        return own ? std::optional(c10::str(level, ".resnets.", layer, ".", *own)) : std::nullopt;
    }
    if (rest.starts_with("conv."))
        return c10::str(level, ".upsamplers.0.", rest);
    return part == 1 ? std::optional(c10::str(level, ".attentions.", layer, ".", rest))
                     : std::nullopt;
}

// "N.part.rest", N from 0: blocks in order, `layers` of them a level and a resizing one between.
std::optional<std::string> input_block(std::string_view text, int64_t layers) {
    const auto block = leading_number(text);
    const auto part = block ? leading_number(block->second) : std::nullopt;
    if (!part || block->first < 1)
        return {};
    const int64_t at = (block->first - 1) / (layers + 1);
    const int64_t layer = (block->first - 1) % (layers + 1);
    const std::string level = c10::str("down_blocks.", at);
    if (layer < layers)
        return layer_name(level, layer, part->first, part->second);
    constexpr std::string_view op = "op.";
    if (!part->second.starts_with(op))
        return {};
    return c10::str(level, ".downsamplers.0.conv.", part->second.substr(op.size()));
}

std::optional<std::string> output_block(std::string_view text, int64_t layers) {
    const auto block = leading_number(text);
    const auto part = block ? leading_number(block->second) : std::nullopt;
    if (!part)
        return {};
    const std::string level = c10::str("up_blocks.", block->first / (layers + 1));
    return layer_name(level, block->first % (layers + 1), part->first, part->second);
}

std::optional<std::string> middle_block(std::string_view text) {
    const auto part = leading_number(text);
    if (!part || part->first > 2)
        return {};
    if (part->first == 1)
        return c10::str("mid_block.attentions.0.", part->second);
    return layer_name("mid_block", part->first / 2, 0, part->second);
}

// "kind.N.rest" cut into its three parts; N is 0 where the kind has no number.
struct LayerName {
    std::string_view kind;
    int64_t number;
    std::string_view rest;
};

std::optional<LayerName> layer_of(std::string_view text) {
    const size_t dot = text.find('.');
    if (dot == std::string_view::npos)
        return {};
    const auto number = leading_number(text.substr(dot + 1));
    return number ? std::optional(LayerName{text.substr(0, dot), number->first, number->second})
                  : std::nullopt;
}

std::optional<std::string> original_layer(const std::string& place, const LayerName& layer) {
    if (layer.kind == "attentions")
        return c10::str(place, ".1.", layer.rest);
    const auto own =
        layer.kind == "resnets" ? restored_start(layer.rest, resnet_pieces) : std::nullopt;
    return own ? std::optional(c10::str(place, ".0.", *own)) : std::nullopt;
}

std::optional<std::string> original_down_block(std::string_view text, int64_t layers) {
    const auto level = leading_number(text);
    const auto layer = level ? layer_of(level->second) : std::nullopt;
    if (!layer)
        return {};
    constexpr std::string_view conv = "conv.";
    if (layer->kind == "downsamplers" && layer->rest.starts_with(conv))
        return c10::str("input_blocks.", (level->first + 1) * (layers + 1), ".0.op.",
                        layer->rest.substr(conv.size()));
    return original_layer(
        c10::str("input_blocks.", 1 + level->first * (layers + 1) + layer->number), *layer);
}

std::optional<std::string> original_up_block(std::string_view text, int64_t layers,
                                             const std::function<bool(int64_t)>& attends) {
    const auto level = leading_number(text);
    const auto layer = level ? layer_of(level->second) : std::nullopt;
    if (!layer)
        return {};
    const int64_t first = level->first * (layers + 1);
    if (layer->kind == "upsamplers")
        return c10::str("output_blocks.", first + layers, attends(level->first) ? ".2." : ".1.",
                        layer->rest);
    return original_layer(c10::str("output_blocks.", first + layer->number), *layer);
}

std::optional<std::string> original_middle(std::string_view text) {
    const auto layer = layer_of(text);
    if (!layer)
        return {};
    if (layer->kind == "attentions")
        return c10::str("middle_block.1.", layer->rest);
    const auto own = restored_start(layer->rest, resnet_pieces);
    return own ? std::optional(c10::str("middle_block.", 2 * layer->number, ".", *own))
               : std::nullopt;
}

}  // namespace

std::optional<std::string> original_unet_name(std::string_view name, const UnetRules& rules,
                                              const std::function<bool(int64_t)>& attends) {
    if (auto top = restored_start(name, top_pieces))
        return top;
    constexpr std::string_view second = "add_embedding.linear_2.", table = "class_embedding.";
    if (name.starts_with(second))
        return c10::str("label_emb.0.2.", name.substr(second.size()));
    if (rules.label_table && name.starts_with(table))
        return c10::str("label_emb.", name.substr(table.size()));
    constexpr std::string_view down = "down_blocks.", up = "up_blocks.", mid = "mid_block.";
    if (name.starts_with(down))
        return original_down_block(name.substr(down.size()), rules.layers);
    if (name.starts_with(up))
        return original_up_block(name.substr(up.size()), rules.layers, attends);
    return name.starts_with(mid) ? original_middle(name.substr(mid.size())) : std::nullopt;
}

std::optional<std::string> restored_start(std::string_view name, const Piece* begin,
                                          const Piece* end) {
    for (const Piece* piece = begin; piece != end; ++piece) {
        const bool starts = name.starts_with(piece->diffusers);
        const std::string_view rest = starts ? name.substr(piece->diffusers.size()) : "";
        if (starts && (rest.empty() || rest.front() == '.'))
            return c10::str(piece->original, rest);
    }
    return {};
}

std::optional<std::string> unet_name(std::string_view name, const UnetRules& rules) {
    if (auto top = replaced_start(name, top_pieces))
        return top;
    constexpr std::string_view second = "label_emb.0.2.", table = "label_emb.";
    if (name.starts_with(second))
        return c10::str("add_embedding.linear_2.", name.substr(second.size()));
    if (rules.label_table && name.starts_with(table))
        return c10::str("class_embedding.", name.substr(table.size()));
    constexpr std::string_view in = "input_blocks.", out = "output_blocks.", mid = "middle_block.";
    if (name.starts_with(in))
        return input_block(name.substr(in.size()), rules.layers);
    if (name.starts_with(out))
        return output_block(name.substr(out.size()), rules.layers);
    return name.starts_with(mid) ? middle_block(name.substr(mid.size())) : std::nullopt;
}

std::optional<std::string> replaced_start(std::string_view name, const Piece* begin,
                                          const Piece* end) {
    for (const Piece* piece = begin; piece != end; ++piece) {
        const bool starts = name.starts_with(piece->original);
        const std::string_view rest = starts ? name.substr(piece->original.size()) : "";
        if (starts && (rest.empty() || rest.front() == '.'))
            return c10::str(piece->diffusers, rest);
    }
    return {};
}

std::optional<std::pair<int64_t, std::string_view>> leading_number(std::string_view text) {
    int64_t number = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc() || end == text.data() + text.size() || *end != '.' || number < 0)
        return {};
    return std::pair(number, text.substr(static_cast<size_t>(end - text.data()) + 1));
}

std::optional<int64_t> number_after(std::string_view name, std::string_view prefix) {
    if (!name.starts_with(prefix))
        return {};
    const auto found = leading_number(name.substr(prefix.size()));
    return found ? std::optional(found->first) : std::nullopt;
}

}  // namespace weft
