#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "diffusion/checkpoint_names.h"

namespace weft {

/// Names of one component, without their prefix, in the original layout -> diffusers' names. Each
/// lives in its own checkpoint_NAME.cpp. nullopt and empty: no name of that layout.

struct UnetRules {
    int64_t layers = 2;        // residual blocks a level
    bool label_table = false;  // label_emb is an embedding, not two linear layers
};

std::optional<std::string> unet_name(std::string_view name, const UnetRules& rules);
/// The way back. `attends` tells whether a level of the way up has attention, which decides the
/// number its upsampler got.
std::optional<std::string> original_unet_name(std::string_view name, const UnetRules& rules,
                                              const std::function<bool(int64_t level)>& attends);

struct Renamed {
    std::string name;
    Reshaping reshaping = Reshaping::none;
};

std::optional<Renamed> vae_name(std::string_view name, int64_t levels);
/// The way back; Reshaping::linear means that the original has a 1x1 convolution there.
std::optional<Renamed> original_vae_name(std::string_view name, int64_t levels);

std::optional<std::string> clip_text_name(std::string_view name);

struct OpenClipRules {
    int64_t layers_used = 0;  // later ones are left out
    bool projects = false;    // text_projection is kept
};

std::vector<std::pair<std::string, Reshaping>> open_clip_text_names(std::string_view name,
                                                                    const OpenClipRules& rules);
/// The way back; a third of a fused projection comes with the fused tensor's name.
std::optional<Renamed> original_open_clip_name(std::string_view name);

/// The whole number that follows `prefix` in `name`, up to a dot.
std::optional<int64_t> number_after(std::string_view name, std::string_view prefix);

/// One piece of a name in both layouts.
struct Piece {
    std::string_view original;
    std::string_view diffusers;
};

/// `name` with the piece it starts with replaced, where one of `pieces` is followed by a dot or the
/// end.
std::optional<std::string> replaced_start(std::string_view name, const Piece* begin,
                                          const Piece* end);

template <typename Table>
std::optional<std::string> replaced_start(std::string_view name, const Table& pieces) {
    return replaced_start(name, pieces.data(), pieces.data() + pieces.size());
}

/// The same the other way round.
std::optional<std::string> restored_start(std::string_view name, const Piece* begin,
                                          const Piece* end);

template <typename Table>
std::optional<std::string> restored_start(std::string_view name, const Table& pieces) {
    return restored_start(name, pieces.data(), pieces.data() + pieces.size());
}

/// Cuts "12.rest" into 12 and "rest".
std::optional<std::pair<int64_t, std::string_view>> leading_number(std::string_view text);

}  // namespace weft
