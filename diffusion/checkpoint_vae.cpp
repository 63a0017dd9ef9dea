#include <c10/util/StringUtil.h>

#include <array>

#include "diffusion/checkpoint_rules.h"

namespace weft {
namespace {

constexpr std::array<Piece, 8> top_pieces{{
    {"encoder.conv_in", "encoder.conv_in"},
    {"encoder.norm_out", "encoder.conv_norm_out"},
    {"encoder.conv_out", "encoder.conv_out"},
    {"decoder.conv_in", "decoder.conv_in"},
    {"decoder.norm_out", "decoder.conv_norm_out"},
    {"decoder.conv_out", "decoder.conv_out"},
    {"quant_conv", "quant_conv"},
    {"post_quant_conv", "post_quant_conv"},
}};

// The last four are names that diffusers used before 0.18; they count on the way back only.
constexpr std::array<Piece, 11> middle_pieces{{
    {"block_1", "resnets.0"},
    {"block_2", "resnets.1"},
    {"attn_1.norm", "attentions.0.group_norm"},
    {"attn_1.q", "attentions.0.to_q"},
    {"attn_1.k", "attentions.0.to_k"},
    {"attn_1.v", "attentions.0.to_v"},
    {"attn_1.proj_out", "attentions.0.to_out.0"},
    {"attn_1.q", "attentions.0.query"},
    {"attn_1.k", "attentions.0.key"},
    {"attn_1.v", "attentions.0.value"},
    {"attn_1.proj_out", "attentions.0.proj_attn"},
}};

// Residual blocks are named alike but for the shortcut.
std::string resnet(std::string name) {
    constexpr std::string_view old_name = "nin_shortcut";
    const size_t at = name.find(old_name);
    return at == std::string::npos ? name : name.replace(at, old_name.size(), "conv_shortcut");
}

std::optional<Renamed> middle(const std::string& coder, std::string_view rest) {
    const auto own = replaced_start(rest, middle_pieces);
    if (!own)
        return {};
    // The attention's projections were 1x1 convolutions.
    const bool projects = own->starts_with("attentions.0.to_") && own->ends_with(".weight");
    return Renamed{c10::str(coder, ".mid_block.", resnet(*own)),
                   projects ? Reshaping::linear : Reshaping::none};
}

// "level.block.N.rest" or "level.downsample.conv.rest"; decoders count levels from the smallest
// map in diffusers, from the largest in the original.
std::optional<Renamed> level(const std::string& coder, std::string_view text, int64_t levels) {
    const auto number = leading_number(text);
    if (!number || number->first >= levels)
        return {};
    const bool encodes = coder == "encoder";
    const std::string place = encodes ? c10::str("encoder.down_blocks.", number->first)
                                      : c10::str("decoder.up_blocks.", levels - 1 - number->first);
    constexpr std::string_view block = "block.", down = "downsample.", up = "upsample.";
    const std::string_view rest = number->second;
    if (rest.starts_with(block))
        return Renamed{resnet(c10::str(place, ".resnets.", rest.substr(block.size())))};
    if (encodes && rest.starts_with(down))
        return Renamed{c10::str(place, ".downsamplers.0.", rest.substr(down.size()))};
    if (!encodes && rest.starts_with(up))
        return Renamed{c10::str(place, ".upsamplers.0.", rest.substr(up.size()))};
    return {};
}

std::string original_resnet(std::string name) {
    constexpr std::string_view new_name = "conv_shortcut";
    const size_t at = name.find(new_name);
    return at == std::string::npos ? name : name.replace(at, new_name.size(), "nin_shortcut");
}

// The way back of level(): `text` follows "encoder.down_blocks." or "decoder.up_blocks.".
std::optional<Renamed> original_level(bool encodes, std::string_view text, int64_t levels) {
    const auto number = leading_number(text);
    if (!number || number->first >= levels)
        return {};
    const std::string place = encodes ? c10::str("encoder.down.", number->first, ".")
                                      : c10::str("decoder.up.", levels - 1 - number->first, ".");
    constexpr std::string_view block = "resnets.", down = "downsamplers.0.", up = "upsamplers.0.";
    const std::string_view rest = number->second;
    if (rest.starts_with(block))
        return Renamed{original_resnet(c10::str(place, "block.", rest.substr(block.size())))};
    if (encodes && rest.starts_with(down))
        return Renamed{c10::str(place, "downsample.", rest.substr(down.size()))};
    if (!encodes && rest.starts_with(up))
        return Renamed{c10::str(place, "upsample.", rest.substr(up.size()))};
    return {};
}

std::optional<Renamed> original_middle(const std::string& coder, std::string_view rest) {
    const auto own = restored_start(rest, middle_pieces);
    if (!own)
        return {};
    const bool projects = own->starts_with("attn_1.") && !own->starts_with("attn_1.norm") &&
                          own->ends_with(".weight");
    return Renamed{original_resnet(c10::str(coder, ".mid.", *own)),
                   projects ? Reshaping::linear : Reshaping::none};
}

}  // namespace

std::optional<Renamed> original_vae_name(std::string_view name, int64_t levels) {
    if (const auto top = restored_start(name, top_pieces))
        return Renamed{*top};
    for (const std::string coder : {"encoder", "decoder"}) {
        const bool encodes = coder == "encoder";
        const std::string mid = coder + ".mid_block.";
        const std::string side = coder + (encodes ? ".down_blocks." : ".up_blocks.");
        if (name.starts_with(mid))
            return original_middle(coder, name.substr(mid.size()));
        if (name.starts_with(side))
            return original_level(encodes, name.substr(side.size()), levels);
    }
    return {};
}

std::optional<Renamed> vae_name(std::string_view name, int64_t levels) {
    if (const auto top = replaced_start(name, top_pieces))
        return Renamed{*top};
    for (const std::string coder : {"encoder", "decoder"}) {
        const std::string mid = coder + ".mid.",
                          side = coder + (coder == "encoder" ? ".down." : ".up.");
        if (name.starts_with(mid))
            return middle(coder, name.substr(mid.size()));
        if (name.starts_with(side))
            return level(coder, name.substr(side.size()), levels);
    }
    return {};
}

}  // namespace weft
