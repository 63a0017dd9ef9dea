#include "diffusion/lora_names.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace weft {

namespace {

using Pair = std::pair<std::string_view, std::string_view>;

// Layers outside the levels, and those inside a residual block.
constexpr std::array<Pair, 9> outer{{{"conv_in", "input_blocks.0.0"},
                                     {"time_embedding.linear_1", "time_embed.0"},
                                     {"time_embedding.linear_2", "time_embed.2"},
                                     {"add_embedding.linear_1", "label_emb.0.0"},
                                     {"add_embedding.linear_2", "label_emb.0.2"},
                                     {"class_embedding.linear_1", "label_emb.0.0"},
                                     {"class_embedding.linear_2", "label_emb.0.2"},
                                     {"conv_norm_out", "out.0"},
                                     {"conv_out", "out.2"}}};
constexpr std::array<Pair, 6> residual{{{"norm1", "in_layers.0"},
                                        {"conv1", "in_layers.2"},
                                        {"time_emb_proj", "emb_layers.1"},
                                        {"norm2", "out_layers.0"},
                                        {"conv2", "out_layers.3"},
                                        {"conv_shortcut", "skip_connection"}}};

template <size_t n>
std::string looked_up(const std::array<Pair, n>& table, std::string_view name) {
    const auto found = std::find_if(table.begin(), table.end(),
                                    [&](const Pair& pair) { return pair.first == name; });
    return found == table.end() ? std::string() : std::string(found->second);
}

std::string flat(std::string name) {
    std::replace(name.begin(), name.end(), '.', '_');
    return name;
}

// "3.rest" -> 3 and "rest"
std::optional<std::pair<int64_t, std::string_view>> split_number(std::string_view text) {
    int64_t number = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
    const auto used = static_cast<size_t>(result.ptr - text.data());
    if (result.ec != std::errc() || used >= text.size() || text[used] != '.')
        return {};
    return std::pair(number, text.substr(used + 1));
}

bool take_front(std::string_view& text, std::string_view front) {
    if (!text.starts_with(front))
        return false;
    text.remove_prefix(front.size());
    return true;
}

// A place inside a level: "resnets.1.conv1" is {resnets, 1, "conv1"}.
struct Place {
    std::string_view kind;
    int64_t index;
    std::string_view rest;
};

std::optional<Place> place_in_level(std::string_view text) {
    for (const std::string_view kind : {"resnets", "attentions", "downsamplers", "upsamplers"}) {
        std::string_view after = text;
        if (!take_front(after, kind) || !take_front(after, "."))
            continue;
        if (const auto number = split_number(after))
            return Place{kind, number->first, number->second};
    }
    return {};
}

// The name inside an entry of input_blocks and its like.
std::string inner_name(const Place& place) {
    return place.kind == "resnets" ? looked_up(residual, place.rest) : std::string(place.rest);
}

std::string joined(const char* blocks, int64_t block, int64_t part, const std::string& inner) {
    return inner.empty() ? "" : c10::str(blocks, ".", block, ".", part, ".", inner);
}

std::string name_on_the_way_down(std::string_view layer, int64_t layers_per_block) {
    const auto level = split_number(layer);
    const auto place = level ? place_in_level(level->second) : std::nullopt;
    if (!place)
        return {};
    const int64_t first = 1 + level->first * (layers_per_block + 1);
    if (place->kind == "downsamplers")
        return joined("input_blocks", first + layers_per_block, 0, "op");
    return joined("input_blocks", first + place->index, place->kind == "attentions" ? 1 : 0,
                  inner_name(*place));
}

std::string name_on_the_way_up(std::string_view layer, int64_t layers_per_block, bool attends) {
    const auto level = split_number(layer);
    const auto place = level ? place_in_level(level->second) : std::nullopt;
    if (!place)
        return {};
    const int64_t first = level->first * (layers_per_block + 1);
    if (place->kind == "upsamplers")
        return joined("output_blocks", first + layers_per_block, attends ? 2 : 1, "conv");
    return joined("output_blocks", first + place->index, place->kind == "attentions" ? 1 : 0,
                  inner_name(*place));
}

std::string name_in_the_middle(std::string_view layer) {
    const auto place = place_in_level(layer);
    if (!place)
        return {};
    const std::string inner = inner_name(*place);
    const int64_t entry = place->kind == "attentions" ? 1 : 2 * place->index;
    return inner.empty() ? "" : c10::str("middle_block.", entry, ".", inner);
}

// What CompVis names depend on, out of the layers there are.
struct UnetLevels {
    int64_t layers_per_block = 0;
    std::set<std::string> attending;  // "up_blocks.1." and its like

    explicit UnetLevels(const std::set<std::string>& layers) {
        constexpr std::string_view first_level = "down_blocks.0.resnets.";
        for (const std::string& layer : layers) {
            if (layer.starts_with(first_level))
                if (const auto number =
                        split_number(std::string_view(layer).substr(first_level.size())))
                    layers_per_block = std::max(layers_per_block, number->first + 1);
            if (const size_t at = layer.find("attentions."); at != std::string::npos)
                attending.insert(layer.substr(0, at));
        }
    }

    bool attends(const std::string& layer) const {
        return std::any_of(attending.begin(), attending.end(),
                           [&](const std::string& level) { return layer.starts_with(level); });
    }
};

// Layers of a component: what its tensors are named under.
std::set<std::string> layers_of(const std::vector<std::string>& tensors) {
    std::set<std::string> layers;
    for (const std::string& name : tensors)
        if (const size_t dot = name.rfind('.'); dot != std::string::npos)
            layers.insert(name.substr(0, dot));
    return layers;
}

}  // namespace

std::string compvis_name(const std::string& layer, int64_t layers_per_block, bool attends) {
    std::string_view rest = layer;
    if (take_front(rest, "down_blocks."))
        return name_on_the_way_down(rest, layers_per_block);
    if (take_front(rest, "up_blocks."))
        return name_on_the_way_up(rest, layers_per_block, attends);
    if (take_front(rest, "mid_block."))
        return name_in_the_middle(rest);
    return looked_up(outer, layer);
}

LayerNames::LayerNames(const std::vector<std::string>& tensors) {
    const std::set<std::string> layers = layers_of(tensors);
    const UnetLevels levels(layers);
    constexpr std::string_view prefix = "text_model.";
    for (const std::string& layer : layers) {
        by_flat_.emplace(flat(layer), layer);
        if (const std::string other =
                compvis_name(layer, levels.layers_per_block, levels.attends(layer));
            !other.empty())
            by_flat_.emplace(flat(other), layer);
        if (layer.starts_with(prefix))
            by_flat_.emplace(flat(layer.substr(prefix.size())), layer);
        else if (layer.starts_with("encoder.layers."))
            by_flat_.emplace("text_model_" + flat(layer), layer);
    }
}

std::string LayerNames::find(const std::string& name_in_file) const {
    const auto found = by_flat_.find(flat(name_in_file));
    return found == by_flat_.end() ? "" : found->second;
}

}  // namespace weft
