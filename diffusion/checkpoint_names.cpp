#include "diffusion/checkpoint_names.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>

#include "diffusion/checkpoint_rules.h"

namespace weft {
namespace {

constexpr std::string_view unet_prefix = "model.diffusion_model.";
constexpr std::string_view vae_prefix = "first_stage_model.";

// Where the text towers of each kind lie.
struct TextPlace {
    CheckpointKind kind;
    std::string_view prefix;
    const char* component;
    bool open_clip;
    bool projects;
};

constexpr std::array<TextPlace, 5> text_places{{
    {CheckpointKind::sd1, "cond_stage_model.transformer.", "text_encoder", false, false},
    {CheckpointKind::sd2, "cond_stage_model.model.", "text_encoder", true, false},
    {CheckpointKind::sdxl, "conditioner.embedders.0.transformer.", "text_encoder", false, false},
    {CheckpointKind::sdxl, "conditioner.embedders.1.model.", "text_encoder_2", true, true},
    {CheckpointKind::sdxl_refiner, "conditioner.embedders.0.model.", "text_encoder_2", true, true},
}};

bool any_starts_with(const std::vector<std::string>& names, std::string_view prefix) {
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string& name) { return name.starts_with(prefix); });
}

std::optional<CheckpointKind> kind_of(const std::vector<std::string>& names) {
    // The refiner's only tower lies where SDXL base has CLIP-L, under another name.
    for (const auto kind : {CheckpointKind::sdxl_refiner, CheckpointKind::sdxl, CheckpointKind::sd2,
                            CheckpointKind::sd1})
        for (const TextPlace& place : text_places)
            if (place.kind == kind && any_starts_with(names, place.prefix))
                return kind;
    return {};
}

// The number that follows `prefix` in names, at most; -1 where there is none.
int64_t largest_after(const std::vector<std::string>& names, std::string_view prefix) {
    int64_t largest = -1;
    for (const std::string& name : names)
        if (const auto number = number_after(name, prefix))
            largest = std::max(largest, *number);
    return largest;
}

// The first level ends with the first downsampler; one level has none.
int64_t unet_layers(const std::set<std::string>& names, int64_t last_block) {
    for (int64_t i = 1; i <= last_block; ++i)
        if (names.contains(c10::str(unet_prefix, "input_blocks.", i, ".0.op.weight")))
            return i - 1;
    return std::max<int64_t>(last_block, 1);
}

std::vector<CheckpointName> text_names(const TextPlace& place, const std::string& stored,
                                       const CheckpointLayout& layout) {
    const std::string name = stored.substr(place.prefix.size());
    std::vector<CheckpointName> out;
    if (place.open_clip) {
        const OpenClipRules rules{.layers_used = layout.text_layers_used,
                                  .projects = place.projects};
        for (auto& [own, reshaping] : open_clip_text_names(name, rules))
            out.push_back({place.component, std::move(own), stored, reshaping});
    } else if (const auto own = clip_text_name(name)) {
        out.push_back({place.component, *own, stored});
    }
    return out;
}

}  // namespace

std::optional<CheckpointLayout> checkpoint_layout(const std::vector<std::string>& names) {
    const auto kind = kind_of(names);
    if (!kind || !any_starts_with(names, unet_prefix) || !any_starts_with(names, vae_prefix))
        return {};
    const std::set<std::string> sorted(names.begin(), names.end());
    CheckpointLayout layout{.kind = *kind};
    layout.unet_layers =
        unet_layers(sorted, largest_after(names, c10::str(unet_prefix, "input_blocks.")));
    layout.vae_levels = largest_after(names, c10::str(vae_prefix, "encoder.down.")) + 1;
    layout.label_table = sorted.contains(c10::str(unet_prefix, "label_emb.weight"));
    for (const TextPlace& place : text_places) {
        if (place.kind == *kind && place.open_clip)
            layout.text_layers_used =
                largest_after(names, c10::str(place.prefix, "transformer.resblocks.")) + 1;
    }
    // SD 2 was trained on the penultimate layer's states, normalised: the last one never runs.
    if (*kind == CheckpointKind::sd2)
        layout.text_layers_used = std::max<int64_t>(layout.text_layers_used - 1, 0);
    return layout;
}

std::vector<CheckpointName> diffusers_names(const std::string& stored,
                                            const CheckpointLayout& layout) {
    if (stored.starts_with(unet_prefix)) {
        const UnetRules rules{.layers = layout.unet_layers, .label_table = layout.label_table};
        const auto name = unet_name(stored.substr(unet_prefix.size()), rules);
        return name ? std::vector<CheckpointName>{{"unet", *name, stored}}
                    : std::vector<CheckpointName>{};
    }
    if (stored.starts_with(vae_prefix)) {
        const auto renamed = vae_name(stored.substr(vae_prefix.size()), layout.vae_levels);
        return renamed
                   ? std::vector<CheckpointName>{{"vae", renamed->name, stored, renamed->reshaping}}
                   : std::vector<CheckpointName>{};
    }
    for (const TextPlace& place : text_places)
        if (place.kind == layout.kind && stored.starts_with(place.prefix))
            return text_names(place, stored, layout);
    return {};
}

bool is_leftover(const std::string& stored, const CheckpointLayout& layout) {
    constexpr std::array<std::string_view, 14> prefixes{
        "model_ema.",     "betas",
        "alphas_cumprod", "sqrt_",
        "log_one_minus",  "posterior_",
        "logvar",         "global_step",
        "v_pred",         "ztsnr",
        "denoiser.",      "low_scale_model.",
        "depth_model.",   "first_stage_model.loss."};
    const auto starts = [&](std::string_view prefix) { return stored.starts_with(prefix); };
    if (std::any_of(prefixes.begin(), prefixes.end(), starts))
        return true;
    if (stored.ends_with("position_ids") || stored.ends_with("logit_scale") ||
        stored.ends_with("attn_mask"))
        return true;
    for (const TextPlace& place : text_places) {
        if (place.kind != layout.kind || !place.open_clip || !starts(place.prefix))
            continue;
        const std::string_view name = std::string_view(stored).substr(place.prefix.size());
        const auto layer = number_after(name, "transformer.resblocks.");
        return (layer && *layer >= layout.text_layers_used) || name == "text_projection";
    }
    return false;
}

}  // namespace weft
