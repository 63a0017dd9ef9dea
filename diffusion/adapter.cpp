#include "diffusion/adapter.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "diffusion/lora_names.h"
#include "io/files/error.h"
#include "io/files/text.h"

namespace weft {

namespace {

// What the patch of a component does to one layer.
struct Change {
    AdapterLayer layer;
    double weight;
};

using Changes = std::map<std::string, std::vector<Change>>;  // by the model's name of the layer

torch::Tensor changed(const Changes& changes, const std::string& name,
                      const torch::Tensor& stored) {
    const size_t dot = std::min(name.rfind('.'), name.size());
    const auto found = changes.find(name.substr(0, dot));
    const std::string_view kind = std::string_view(name).substr(std::min(dot + 1, name.size()));
    if (found == changes.end() || (kind != "weight" && kind != "bias"))
        return {};
    torch::Tensor tensor = stored;
    for (const Change& change : found->second)
        tensor = kind == "weight" ? adapted_weight(tensor, change.layer, change.weight)
                                  : adapted_bias(tensor, change.layer, change.weight);
    return tensor;
}

std::string listed(const std::vector<std::string>& names) {
    constexpr size_t most = 8;
    std::string text;
    for (size_t i = 0; i < std::min(most, names.size()); ++i)
        text += (i == 0 ? "" : ", ") + quoted_name(names[i]);
    return names.size() > most ? c10::str(text, " and ", names.size() - most, " more") : text;
}

}  // namespace

Adapters::Adapters(const std::vector<LoraChoice>& choices) {
    for (const LoraChoice& choice : choices) {
        loaded_.push_back({.choice = choice, .file = AdapterFile::read(choice.file)});
        for (const auto& [part, weight] : choice.parts) loaded_.back().part_used[part] = false;
    }
}

void Adapters::merge_into(const std::string& component, Weights& weights) {
    const LayerNames names(weights.names());
    auto changes = std::make_shared<Changes>();
    for (Loaded& loaded : loaded_) {
        const auto layers = loaded.file.layers.find(component);
        if (layers == loaded.file.layers.end())
            continue;
        std::vector<std::string>& unmatched = loaded.unmatched[component];
        for (const auto& [name_in_file, layer] : layers->second) {
            const std::string name = names.find(name_in_file);
            if (name.empty()) {
                unmatched.push_back(name_in_file);
                continue;
            }
            ++loaded.merged;
            if (const std::string part = loaded.choice.part_of(component, name); !part.empty())
                loaded.part_used[part] = true;
            if (const double weight = loaded.choice.weight_of(component, name); weight != 0)
                (*changes)[name].push_back({layer, weight});
        }
    }
    if (changes->empty())
        return;
    weights.patch_with([changes](const std::string& name, const torch::Tensor& stored) {
        return changed(*changes, name, stored);
    });
}

std::vector<std::string> Adapters::finish() const {
    std::vector<std::string> notes;
    for (const Loaded& loaded : loaded_) {
        const std::string where = loaded.choice.file.string();
        if (loaded.merged == 0)
            throw Error(where, "none of its layers is in this model",
                        "the LoRA was made for another family of models (see weft inspect)");
        const auto note = [&](const std::string& text) {
            notes.push_back(c10::str(quoted_name(where), ": ", text));
        };
        if (!loaded.file.unknown_keys.empty())
            note(c10::str(loaded.file.unknown_keys.size(),
                          " tensors are of no known kind: ", listed(loaded.file.unknown_keys)));
        for (const auto& [component, layers] : loaded.file.layers) {
            const auto unmatched = loaded.unmatched.find(component);
            if (unmatched == loaded.unmatched.end())
                note(c10::str(layers.size(), " layers are for ", component,
                              ", which the model does not have"));
            else if (!unmatched->second.empty())
                note(c10::str(unmatched->second.size(), " of ", layers.size(), " layers of ",
                              component, " are not in the model: ", listed(unmatched->second)));
        }
        for (const auto& [part, used] : loaded.part_used)
            if (!used)
                note(c10::str("its part ", quoted_name(part), " holds no layer"));
    }
    return notes;
}

}  // namespace weft
