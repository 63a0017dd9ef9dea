#include "diffusion/checkpoint.h"

#include <algorithm>

#include "diffusion/clip_vocabulary.h"
#include "io/files/error.h"
#include "io/files/text.h"

namespace weft {
namespace {

std::vector<std::string> names_in(const SafeTensors& file) {
    std::vector<std::string> names;
    for (const auto& [name, entry] : file.entries()) names.push_back(name);
    return names;
}

CheckpointLayout layout_of(const SafeTensors& file) {
    const auto layout = checkpoint_layout(names_in(file));
    if (!layout)
        throw Error(file.path().string(),
                    "is no whole Stable Diffusion checkpoint (unet, text encoder and vae in one)",
                    "give such a checkpoint or a model folder; 'weft inspect' says what it is");
    return *layout;
}

// What a checkpoint says beside its weights.
void read_signs(const SafeTensors& file, CheckpointFacts& facts) {
    const auto said = file.metadata().find("modelspec.prediction_type");
    if (said != file.metadata().end())
        facts.prediction_type = said->second;
    facts.v_key = file.has("v_pred");
    facts.zero_terminal_snr = file.has("ztsnr");
    if (file.has("global_step") && file.tensor("global_step").numel() == 1)
        facts.global_step = file.tensor("global_step").to(torch::kInt64).item<int64_t>();
}

}  // namespace

torch::Tensor reshaped(const torch::Tensor& stored, Reshaping reshaping) {
    const int64_t third = stored.size(0) / 3;
    switch (reshaping) {
        case Reshaping::transposed:
            return stored.t();
        case Reshaping::linear:
            return stored.flatten(1);
        case Reshaping::first_third:
            return stored.narrow(0, 0, third);
        case Reshaping::second_third:
            return stored.narrow(0, third, third);
        case Reshaping::last_third:
            return stored.narrow(0, 2 * third, third);
        case Reshaping::none:
            break;
    }
    return stored;
}

std::optional<std::vector<int64_t>> reshaped_shape(const std::vector<int64_t>& stored,
                                                   Reshaping reshaping) {
    std::vector<int64_t> shape = stored;
    switch (reshaping) {
        case Reshaping::transposed:
            if (shape.size() != 2)
                return {};
            std::swap(shape[0], shape[1]);
            return shape;
        case Reshaping::linear:
            // Some files hold these as linear layers already.
            if (shape.size() != 2 && !(shape.size() == 4 && shape[2] == 1 && shape[3] == 1))
                return {};
            shape.resize(2);
            return shape;
        case Reshaping::first_third:
        case Reshaping::second_third:
        case Reshaping::last_third:
            if (shape.empty() || shape[0] % 3 != 0)
                return {};
            shape[0] /= 3;
            return shape;
        case Reshaping::none:
            break;
    }
    return shape;
}

Checkpoint::Checkpoint(const std::filesystem::path& path)
    : ModelSource(path), file_(path), facts_{.layout = layout_of(file_), .where = path.string()} {
    for (const auto& [stored, entry] : file_.entries()) {
        const std::vector<CheckpointName> becomes = diffusers_names(stored, facts_.layout);
        if (becomes.empty() && !is_leftover(stored, facts_.layout))
            unmatched_.push_back(stored);
        for (const CheckpointName& name : becomes) {
            const auto shape = reshaped_shape(entry.shape, name.reshaping);
            if (!shape)
                throw Error(facts_.where,
                            c10::str("tensor ", quoted_name(stored), " is ",
                                     torch::IntArrayRef(entry.shape), ", which fits no such model"),
                            "the file is damaged or of another kind of model");
            facts_.shapes[name.component][name.name] = *shape;
            names_[name.component].push_back(name);
        }
    }
    read_signs(file_, facts_);
}

std::vector<std::string> Checkpoint::components() const {
    return checkpoint_components(facts_);
}

Config Checkpoint::index() const {
    return Config::parse(checkpoint_index_json(facts_), path().string());
}

Config Checkpoint::config(const std::string& component) const {
    return Config::parse(checkpoint_config_json(facts_, component), path().string());
}

const std::vector<CheckpointName>& Checkpoint::names(const std::string& component) const {
    const auto found = names_.find(component);
    if (found == names_.end())
        throw Error(path().string(), c10::str("has no component ", quoted_name(component)),
                    "this kind of model is not what the command needs");
    return found->second;
}

LazyTensor Checkpoint::lazy(const CheckpointName& name) const {
    return {
        .dtype = file_.entry(name.stored).dtype,
        .shape = facts_.shapes.at(name.component).at(name.name),
        .read = [file = file_, name] { return reshaped(file.tensor(name.stored), name.reshaping); },
        .drop = [file = file_, name] { file.drop_pages(name.stored); }};
}

LazyTensors Checkpoint::tensors(const std::string& component) const {
    LazyTensors out;
    for (const CheckpointName& name : names(component)) out.emplace(name.name, lazy(name));
    return out;
}

std::string Checkpoint::pad_token(const std::string& component) const {
    const bool open_clip = facts_.layout.kind == CheckpointKind::sd2 || component == "tokenizer_2";
    return open_clip ? "!" : "<|endoftext|>";
}

Tokenizer Checkpoint::tokenizer(const std::string& component) const {
    return read_clip_vocabulary(find_clip_vocabulary(), pad_token(component));
}

Config Checkpoint::own_defaults() const {
    return {};
}

}  // namespace weft
