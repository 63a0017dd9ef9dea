#include "io/files/model_folder.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <set>
#include <system_error>

#include "io/files/error.h"
#include "io/files/text.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

// What diffusers lists but weft never asks for; such folders may be missing.
constexpr std::array<std::string_view, 2> optional_components{"safety_checker",
                                                              "feature_extractor"};

constexpr std::array<const char*, 4> config_names{
    "config.json", "scheduler_config.json", "tokenizer_config.json", "preprocessor_config.json"};

constexpr std::array<const char*, 4> weight_stems{"diffusion_pytorch_model", "model",
                                                  "diffusion_pytorch_model.fp16", "model.fp16"};

constexpr std::array<std::string_view, 4> pickle_endings{".bin", ".ckpt", ".pt", ".pth"};

bool is_file(const fs::path& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored);
}

bool is_folder(const fs::path& path) {
    std::error_code ignored;
    return fs::is_directory(path, ignored);
}

// A name that stays in its folder.
bool is_plain(const std::string& name) {
    return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
           name.find('\\') == std::string::npos && name.find('\0') == std::string::npos;
}

fs::path index_file(const fs::path& folder) {
    if (!is_folder(folder)) {
        throw Error(folder.string(),
                    is_file(folder) ? "is a file, not a model folder" : "no such folder",
                    "give a folder in the diffusers layout, with a model_index.json");
    }
    if (!is_file(folder / "model_index.json")) {
        throw Error(folder.string(), "has no model_index.json",
                    "give a folder in the diffusers layout (the one above unet/ and vae/)");
    }
    return folder / "model_index.json";
}

// The index lists a component as ["library", "Class"]; [null, null] is one that was left out.
bool names_component(const Config& index, const std::string& key) {
    if (!index.is_list(key) || key.starts_with("_")) {
        return false;
    }
    try {
        return index.texts(key).size() == 2;
    } catch (const Error&) {
        return false;
    }
}

std::vector<fs::path> shards(const fs::path& index_path) {
    const Config places = Config::read(index_path).object("weight_map");
    std::set<std::string> names;
    for (const auto& tensor : places.keys()) {
        names.insert(places.text(tensor));
    }
    std::vector<fs::path> files;
    for (const auto& name : names) {
        if (!is_plain(name)) {
            throw Error(index_path.string(),
                        c10::str("points outside its folder, to ", quoted_name(name)),
                        "do not use this model; it was made to mislead or is damaged");
        }
        files.push_back(index_path.parent_path() / name);
        if (!is_file(files.back())) {
            throw Error(files.back().string(), "no such file, though the index beside it lists it",
                        "the download is incomplete; fetch the model again");
        }
    }
    if (files.empty()) {
        throw Error(index_path.string(), "lists no files", "fetch the model again");
    }
    return files;
}

[[noreturn]] void fail_without_weights(const fs::path& folder) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
        const auto ending = entry.path().extension().string();
        if (std::count(std::begin(pickle_endings), std::end(pickle_endings), ending) > 0) {
            throw Error(entry.path().string(),
                        "is a PyTorch pickle, which can run code and is never opened",
                        "get the model's .safetensors files, or convert it once where you trust it "
                        "(diffusers: save_pretrained(DIR, safe_serialization=True))");
        }
    }
    throw Error(folder.string(), "holds no .safetensors file", "fetch the model again");
}

}  // namespace

ModelFolder::ModelFolder(const fs::path& folder)
    : path_(folder), index_(Config::read(index_file(folder))) {
    for (const auto& name : index_.keys()) {
        if (!names_component(index_, name)) {
            continue;
        }
        if (!is_plain(name)) {
            throw Error(index_.where(), c10::str("names the component ", quoted_name(name)),
                        "do not use this model; it was made to mislead or is damaged");
        }
        const bool optional =
            std::count(std::begin(optional_components), std::end(optional_components), name) > 0;
        if (is_folder(path_ / name)) {
            components_.push_back(name);
        } else if (!optional) {
            throw Error((path_ / name).string(), "no such folder, though model_index.json names it",
                        "the download is incomplete; fetch the model again");
        }
    }
}

const fs::path& ModelFolder::path() const {
    return path_;
}

const Config& ModelFolder::index() const {
    return index_;
}

const std::vector<std::string>& ModelFolder::components() const {
    return components_;
}

bool ModelFolder::has(const std::string& component) const {
    return std::find(components_.begin(), components_.end(), component) != components_.end();
}

Config ModelFolder::config(const std::string& component) const {
    for (const char* name : config_names) {
        if (has(component) && is_file(path_ / component / name)) {
            return Config::read(path_ / component / name);
        }
    }
    return Config::read(file(component, config_names[0]));
}

std::vector<fs::path> ModelFolder::weight_files(const std::string& component) const {
    if (!has(component)) {
        throw Error(path_.string(), c10::str("has no component ", quoted_name(component)),
                    "this kind of model is not what the command needs");
    }
    const fs::path folder = path_ / component;
    for (const char* stem : weight_stems) {
        const fs::path single = folder / c10::str(stem, ".safetensors");
        if (is_file(single)) {
            return {single};
        }
        const fs::path index = folder / c10::str(stem, ".safetensors.index.json");
        if (is_file(index)) {
            return shards(index);
        }
    }
    fail_without_weights(folder);
}

Weights ModelFolder::weights(const std::string& component, WeightOptions options) const {
    return Weights::load(weight_files(component), options);
}

fs::path ModelFolder::file(const std::string& component, const std::string& name) const {
    if (!has(component)) {
        throw Error(path_.string(), c10::str("has no component ", quoted_name(component)),
                    "this kind of model is not what the command needs");
    }
    fs::path path = path_ / component / name;
    if (!is_file(path)) {
        throw Error(path.string(), "no such file", "the model is incomplete; fetch it again");
    }
    return path;
}

}  // namespace weft
