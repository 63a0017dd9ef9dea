#include "diffusion/model_weights.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "diffusion/low_rank.h"
#include "io/files/text.h"

namespace weft {

namespace {

// Buffers and leftovers of training that inference never reads.
bool is_harmless(const std::string& name) {
    constexpr std::array<std::string_view, 4> ends{"position_ids", "logit_scale",
                                                   "num_batches_tracked", "attn_mask"};
    constexpr std::array<std::string_view, 3> fronts{"model_ema.", "ema_model.", "ema."};
    return std::any_of(ends.begin(), ends.end(),
                       [&](std::string_view end) { return name.ends_with(end); }) ||
           std::any_of(fronts.begin(), fronts.end(),
                       [&](std::string_view front) { return name.starts_with(front); });
}

}  // namespace

std::vector<std::string> unused_names(const std::string& component, const Weights& weights) {
    std::vector<std::string> names;
    for (const std::string& name : weights.unused())
        if (!is_harmless(name))
            names.push_back(c10::str(component, ": ", name));
    return names;
}

ModelWeights::ModelWeights(const ModelSource& source, const std::vector<LoraChoice>& loras)
    : source_(source), adapters_(loras) {}

Weights ModelWeights::open(const std::string& component, const WeightOptions& options) {
    Weights weights = source_.weights(component, options);
    adapters_.apply_to(component, weights);
    opened_.emplace_back(component, weights);
    return weights;
}

std::vector<std::string> ModelWeights::finish() const {
    std::vector<std::string> notes = adapters_.finish();
    std::vector<std::string> unused = source_.strangers();
    for (const auto& [component, weights] : opened_)
        for (const std::string& name : unused_names(component, weights)) {
            TORCH_CHECK(name.find(".low_rank.") == std::string::npos, name,
                        " belongs to a layer that takes no branch");
            unused.push_back(name);
        }
    if (!unused.empty())
        notes.push_back(c10::str(quoted_name(source_.path().string()), ": ", unused.size(),
                                 unused.size() == 1 ? " tensor is" : " tensors are",
                                 " not used: ", listed_names(unused)));
    return notes;
}

}  // namespace weft
