#include "diffusion/lora_keys.h"

#include <array>
#include <string_view>

namespace weft {

namespace {

constexpr auto kohya = AdapterKey::kohya;
constexpr auto diffusers = AdapterKey::diffusers;
constexpr auto peft = AdapterKey::peft;

struct Ending {
    std::string_view text;
    const char* role;
    const char* layout;
};

// Longer endings stand before those they end in.
constexpr std::array<Ending, 38> endings{{
    {".lora_down.weight", "down", kohya},
    {".lora_up.weight", "up", kohya},
    {".lora_mid.weight", "mid", kohya},
    {".dora_scale", "magnitude", kohya},
    {".hada_w1_a", "hada_w1_a", kohya},
    {".hada_w1_b", "hada_w1_b", kohya},
    {".hada_w2_a", "hada_w2_a", kohya},
    {".hada_w2_b", "hada_w2_b", kohya},
    {".hada_t1", "hada_t1", kohya},
    {".hada_t2", "hada_t2", kohya},
    {".lokr_w1", "lokr_w1", kohya},
    {".lokr_w1_a", "lokr_w1_a", kohya},
    {".lokr_w1_b", "lokr_w1_b", kohya},
    {".lokr_w2", "lokr_w2", kohya},
    {".lokr_w2_a", "lokr_w2_a", kohya},
    {".lokr_w2_b", "lokr_w2_b", kohya},
    {".lokr_t2", "lokr_t2", kohya},
    {".diff", "diff", kohya},
    {".diff_b", "bias", kohya},
    {".w_norm", "diff", kohya},
    {".b_norm", "bias", kohya},
    {".lora_A.weight", "down", peft},
    {".lora_B.weight", "up", peft},
    {".lora_A.default.weight", "down", peft},
    {".lora_B.default.weight", "up", peft},
    {".lora_B.bias", "bias", peft},
    {".lora_magnitude_vector", "magnitude", peft},
    {".lora_magnitude_vector.weight", "magnitude", peft},
    {".lora_magnitude_vector.default.weight", "magnitude", peft},
    {".lora_linear_layer.down.weight", "down", diffusers},
    {".lora_linear_layer.up.weight", "up", diffusers},
    {".lora.down.weight", "down", diffusers},
    {".lora.up.weight", "up", diffusers},
    {".lora.alpha", "alpha", diffusers},
    {"_lora.down.weight", "down", diffusers},
    {"_lora.up.weight", "up", diffusers},
    {"_lora.alpha", "alpha", diffusers},
    {".alpha", "alpha", kohya},
}};

struct Prefix {
    std::string_view text;
    const char* component;  // null: told by what follows
};

constexpr std::array<Prefix, 12> prefixes{{{"lora_unet_", "unet"},
                                           {"lora_te1_", "text_encoder"},
                                           {"lora_te2_", "text_encoder_2"},
                                           {"lora_te_", "text_encoder"},
                                           {"lycoris_unet_", "unet"},
                                           {"unet.", "unet"},
                                           {"text_encoder.", "text_encoder"},
                                           {"text_encoder_2.", "text_encoder_2"},
                                           {"model.diffusion_model.", "unet"},
                                           {"diffusion_model.", "unet"},
                                           {"base_model.model.", nullptr},
                                           {"", nullptr}}};

constexpr std::array<std::string_view, 12> unet_fronts{
    "down_blocks.",  "up_blocks.",     "mid_block.",     "time_embedding.",
    "conv_in",       "conv_out",       "add_embedding.", "class_embedding.",
    "input_blocks.", "output_blocks.", "middle_block.",  "time_embed."};
constexpr std::array<std::string_view, 2> text_fronts{"text_model.", "encoder.layers."};

template <size_t n>
bool starts_with_any(std::string_view text, const std::array<std::string_view, n>& fronts) {
    for (const std::string_view front : fronts)
        if (text.starts_with(front))
            return true;
    return false;
}

const Ending* ending_of(std::string_view key) {
    for (const Ending& ending : endings)
        if (key.size() > ending.text.size() && key.ends_with(ending.text))
            return &ending;
    return nullptr;
}

// The component and the rest of the name; an empty component where it cannot be told.
AdapterKey without_prefix(std::string_view name) {
    for (const Prefix& prefix : prefixes) {
        if (!name.starts_with(prefix.text))
            continue;
        const std::string_view rest = name.substr(prefix.text.size());
        const char* component = prefix.component;
        if (component == nullptr && starts_with_any(rest, unet_fronts))
            component = "unet";
        if (component == nullptr && starts_with_any(rest, text_fronts))
            component = "text_encoder";
        return {component == nullptr ? "" : component, std::string(rest), "", kohya};
    }
    return {"", std::string(name), "", kohya};
}

void replace_end(std::string& text, std::string_view from, std::string_view to) {
    if (text.ends_with(from))
        text.replace(text.size() - from.size(), from.size(), to);
}

// Attention processors held LoRAs under names of their own: "attn1.processor.to_out_lora" belongs
// to "attn1.to_out.0", the text encoder's "self_attn.to_q_lora" to "self_attn.q_proj".
void resolve_processor(AdapterKey& key) {
    if (const size_t at = key.layer.find(".processor."); at != std::string::npos)
        key.layer.erase(at, std::string_view(".processor").size());
    if (key.component == "unet") {
        replace_end(key.layer, ".to_out", ".to_out.0");
        return;
    }
    replace_end(key.layer, ".to_q", ".q_proj");
    replace_end(key.layer, ".to_k", ".k_proj");
    replace_end(key.layer, ".to_v", ".v_proj");
    replace_end(key.layer, ".to_out", ".out_proj");
}

}  // namespace

std::optional<AdapterKey> parse_adapter_key(const std::string& key) {
    const Ending* ending = ending_of(key);
    if (ending == nullptr)
        return {};
    AdapterKey found =
        without_prefix(std::string_view(key).substr(0, key.size() - ending->text.size()));
    if (found.component.empty() || found.layer.empty())
        return {};
    found.role = ending->role;
    found.layout = ending->layout;
    resolve_processor(found);
    return found;
}

}  // namespace weft
