#include <c10/util/StringUtil.h>

#include <algorithm>
#include <set>

#include "diffusion/checkpoint_names.h"
#include "diffusion/checkpoint_rules.h"

namespace weft {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// How many of PREFIX0, PREFIX1, ... some name continues.
int64_t count(const std::vector<std::string>& names, const std::string& prefix) {
    int64_t largest = -1;
    for (const std::string& name : names)
        if (const auto number = number_after(name, prefix))
            largest = std::max(largest, *number);
    return largest + 1;
}

std::string text_prefix(const CheckpointLayout& layout, const std::string& component) {
    switch (layout.kind) {
        case CheckpointKind::sd2:
            return "cond_stage_model.model.";
        case CheckpointKind::sdxl:
            return component == "text_encoder_2" ? "conditioner.embedders.1.model."
                                                 : "conditioner.embedders.0.transformer.";
        case CheckpointKind::sdxl_refiner:
            return "conditioner.embedders.0.model.";
        case CheckpointKind::sd1:
            break;
    }
    return "cond_stage_model.transformer.";
}

// Collects stored tensors; parts of fused ones come one by one.
class Stored {
  public:
    Stored(const ComponentNames& names, const CheckpointLayout& layout)
        : names_(&names), layout_(&layout) {}

    bool add(const std::string& component, const std::string& name) {
        const auto original = original_of(component, name);
        if (!original)
            return false;
        StoredName& entry = by_name_[original->name];
        entry.stored = original->name;
        entry.component = component;
        const bool is_third = original->reshaping == Reshaping::first_third ||
                              original->reshaping == Reshaping::second_third ||
                              original->reshaping == Reshaping::last_third;
        if (is_third) {
            const auto at = static_cast<size_t>(original->reshaping) -
                            static_cast<size_t>(Reshaping::first_third);
            entry.parts.resize(3);
            entry.parts[at] = name;
        } else {
            entry.parts = {name};
            entry.reshaping = original->reshaping;
        }
        return true;
    }

    // Stable Diffusion 2's checkpoints hold one layer more than is run.
    void repeat_last_text_layer() {
        const std::string blocks = "cond_stage_model.model.transformer.resblocks.";
        const std::string last = c10::str(blocks, layout_->text_layers_used - 1, ".");
        const std::string next = c10::str(blocks, layout_->text_layers_used, ".");
        std::vector<StoredName> copies;
        for (const auto& [name, entry] : by_name_)
            if (name.starts_with(last)) {
                copies.push_back(entry);
                copies.back().stored = next + name.substr(last.size());
            }
        for (StoredName& copy : copies) by_name_[copy.stored] = copy;
    }

    std::vector<StoredName> all() const {
        std::vector<StoredName> out;
        for (const auto& [name, entry] : by_name_) out.push_back(entry);
        return out;
    }

  private:
    std::optional<Renamed> original_of(const std::string& component,
                                       const std::string& name) const {
        if (component == "unet") {
            const UnetRules rules{.layers = layout_->unet_layers,
                                  .label_table = layout_->label_table};
            const auto original = original_unet_name(name, rules, [this](int64_t level) {
                return contains(names_->at("unet"),
                                c10::str("up_blocks.", level, ".attentions.0.norm.weight"));
            });
            return original ? std::optional(Renamed{"model.diffusion_model." + *original})
                            : std::nullopt;
        }
        if (component == "vae") {
            auto original = original_vae_name(name, layout_->vae_levels);
            if (original)
                original->name = "first_stage_model." + original->name;
            return original;
        }
        return original_text(component, name);
    }

    std::optional<Renamed> original_text(const std::string& component,
                                         const std::string& name) const {
        const std::string prefix = text_prefix(*layout_, component);
        // transformers 5 saves without the prefix that all earlier files have.
        const bool bare = !name.starts_with("text_model.") && !name.starts_with("text_projection");
        const std::string whole = bare ? "text_model." + name : name;
        if (!prefix.ends_with("model."))
            return clip_text_name(whole) ? std::optional(Renamed{prefix + whole}) : std::nullopt;
        auto original = original_open_clip_name(whole);
        if (original)
            original->name = prefix + original->name;
        return original;
    }

    const ComponentNames* names_;
    const CheckpointLayout* layout_;
    std::map<std::string, StoredName> by_name_;
};

}  // namespace

std::optional<CheckpointLayout> original_layout(const ComponentNames& names, bool is_open_clip) {
    const auto unet = names.find("unet");
    const auto vae = names.find("vae");
    if (unet == names.end() || vae == names.end() ||
        !contains(vae->second, "encoder.down_blocks.0.resnets.0.conv1.weight"))
        return {};
    const bool first = names.contains("text_encoder"), second = names.contains("text_encoder_2");
    if (!first && !second)
        return {};
    CheckpointLayout layout;
    layout.kind = first && second ? CheckpointKind::sdxl
                  : second        ? CheckpointKind::sdxl_refiner
                  : is_open_clip  ? CheckpointKind::sd2
                                  : CheckpointKind::sd1;
    layout.unet_layers = count(unet->second, "down_blocks.0.resnets.");
    layout.vae_levels = count(vae->second, "encoder.down_blocks.");
    layout.label_table = contains(unet->second, "class_embedding.weight");
    const std::vector<std::string>& text = names.at(second ? "text_encoder_2" : "text_encoder");
    layout.text_layers_used =
        std::max(count(text, "text_model.encoder.layers."), count(text, "encoder.layers."));
    return layout;
}

std::vector<StoredName> stored_names(const ComponentNames& names, const CheckpointLayout& layout,
                                     std::vector<std::string>& unmatched) {
    Stored stored(names, layout);
    for (const auto& [component, own] : names)
        for (const std::string& name : own)
            if (!stored.add(component, name) && !name.ends_with("position_ids"))
                unmatched.push_back(c10::str(component, ": ", name));
    if (layout.kind == CheckpointKind::sd2)
        stored.repeat_last_text_layer();
    return stored.all();
}

}  // namespace weft
