#pragma once

#include <optional>
#include <string>

namespace weft {

/// What the key of an adapter file's tensor says.
struct AdapterKey {
    std::string component;  // "unet", "text_encoder", "text_encoder_2"
    std::string layer;      // without prefixes; flat in kohya's layout
    std::string role;       // as in AdapterLayer, or "alpha"
    std::string layout;     // kohya, diffusers or peft

    static constexpr const char* kohya = "kohya";
    static constexpr const char* diffusers = "diffusers";
    static constexpr const char* peft = "PEFT";
};

/// nullopt for keys that belong to no layout known.
std::optional<AdapterKey> parse_adapter_key(const std::string& key);

}  // namespace weft
