#include "diffusion/adapter.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "diffusion/lora_names.h"
#include "diffusion/low_rank.h"
#include "io/files/error.h"
#include "io/files/text.h"

namespace weft {

namespace {

// What one file does to one layer.
struct Change {
    AdapterLayer layer;
    double weight;
    int64_t lora;  // number of the file
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

// Tables are looked up, not multiplied, and norms act elementwise: nothing runs beside those.
bool takes_branch(const std::string& layer, const std::vector<int64_t>& weight) {
    constexpr std::array<std::string_view, 3> tables{"token_embedding", "position_embedding",
                                                     "class_embedding"};
    return weight.size() >= 2 &&
           std::none_of(tables.begin(), tables.end(),
                        [&](std::string_view table) { return layer.ends_with(table); });
}

// Leaves the branch of a layer where LowRank looks for it.
void put_beside(const Weights& weights, const std::string& layer,
                const std::vector<Change>& changes) {
    Weights scope = weights.scope(layer);
    const std::vector<int64_t> shape = scope.shape("weight");
    std::vector<torch::Tensor> down, up, lora, bias, bias_lora;
    for (const Change& change : changes) {
        const LowRankFactors factors = low_rank_factors(change.layer, shape);
        down.push_back(factors.down);
        up.push_back(change.weight * factors.up);
        lora.push_back(torch::full({factors.up.size(1)}, change.lora, torch::kInt64));
        if (const torch::Tensor delta = bias_delta(change.layer, shape.front()); delta.defined()) {
            bias.push_back(change.weight * delta);
            bias_lora.push_back(torch::full({1}, change.lora, torch::kInt64));
        }
    }
    scope.add(LowRank::down_name, torch::cat(down));
    scope.add(LowRank::up_name, torch::cat(up, 1));
    scope.add(LowRank::lora_name, torch::cat(lora));
    if (!bias.empty()) {
        scope.add(LowRank::bias_name, torch::stack(bias));
        scope.add(LowRank::bias_lora_name, torch::cat(bias_lora));
    }
}

}  // namespace

std::string listed_names(const std::vector<std::string>& names) {
    constexpr size_t most = 8;
    std::string text;
    for (size_t i = 0; i < std::min(most, names.size()); ++i)
        text += (i == 0 ? "" : ", ") + quoted_name(names[i]);
    return names.size() > most ? c10::str(text, " and ", names.size() - most, " more") : text;
}

Adapters::Adapters(const std::vector<LoraChoice>& choices) {
    for (const LoraChoice& choice : choices) {
        loaded_.push_back({.choice = choice, .file = AdapterFile::read(choice.file)});
        for (const auto& [part, weight] : choice.parts) loaded_.back().part_used[part] = false;
    }
}

void Adapters::apply_to(const std::string& component, Weights& weights) {
    const LayerNames names(weights.names());
    auto merged = std::make_shared<Changes>();
    Changes beside;
    for (size_t i = 0; i < loaded_.size(); ++i) {
        Loaded& loaded = loaded_[i];
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
            ++loaded.placed;
            if (const std::string part = loaded.choice.part_of(component, name); !part.empty())
                loaded.part_used[part] = true;
            const double weight = loaded.choice.weight_of(component, name);
            if (weight == 0)
                continue;
            const bool runs = can_run(loaded, layer, name, weights);
            (runs ? beside : *merged)[name].push_back({layer, weight, static_cast<int64_t>(i)});
        }
    }
    for (const auto& [name, changes] : beside) put_beside(weights, name, changes);
    if (merged->empty())
        return;
    weights.patch_with([merged](const std::string& name, const torch::Tensor& stored) {
        return changed(*merged, name, stored);
    });
}

bool Adapters::can_run(Loaded& loaded, const AdapterLayer& layer, const std::string& name,
                       const Weights& weights) const {
    if (loaded.choice.mode == LoraMode::merged)
        return false;
    if (runs_beside(layer) && takes_branch(name, weights.scope(name).shape("weight")))
        return true;
    if (loaded.choice.mode == LoraMode::varying)
        throw Error(layer.where,
                    c10::str("is a ", layer.has("magnitude") ? "DoRA" : name_of(layer.kind),
                             ", whose strength cannot change over time"),
                    "give this file one weight");
    ++loaded.diverted;
    return false;
}

std::vector<std::string> Adapters::finish() const {
    std::vector<std::string> notes;
    for (const Loaded& loaded : loaded_) {
        if (loaded.placed == 0)
            throw Error(loaded.choice.file.string(), "none of its layers is in this model",
                        "the LoRA was made for another family of models (see weft inspect)");
        for (const std::string& note : notes_of(loaded))
            notes.push_back(c10::str(quoted_name(loaded.choice.file.string()), ": ", note));
    }
    return notes;
}

std::vector<std::string> Adapters::notes_of(const Loaded& loaded) {
    std::vector<std::string> notes;
    if (!loaded.file.unknown_keys.empty())
        notes.push_back(c10::str(loaded.file.unknown_keys.size(), " tensors are of no known kind: ",
                                 listed_names(loaded.file.unknown_keys)));
    for (const auto& [component, layers] : loaded.file.layers) {
        const auto unmatched = loaded.unmatched.find(component);
        if (unmatched == loaded.unmatched.end())
            notes.push_back(c10::str(layers.size(), " layers are for ", component,
                                     ", which the model does not have"));
        else if (!unmatched->second.empty())
            notes.push_back(c10::str(unmatched->second.size(), " of ", layers.size(), " layers of ",
                                     component,
                                     " are not in the model: ", listed_names(unmatched->second)));
    }
    for (const auto& [part, used] : loaded.part_used)
        if (!used)
            notes.push_back(c10::str("its part ", quoted_name(part), " holds no layer"));
    if (loaded.diverted > 0)
        notes.push_back(c10::str(loaded.diverted,
                                 " layers are not of two factors (LoHa, LoKr, DoRA, "
                                 "differences) and were merged"));
    return notes;
}

}  // namespace weft
