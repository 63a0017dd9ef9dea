#include "cli/inspect_model.h"

#include <c10/core/ScalarType.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <set>

#include "diffusion/autoencoder.h"
#include "diffusion/checkpoint.h"
#include "diffusion/clip.h"
#include "diffusion/lora_file.h"
#include "diffusion/model.h"
#include "diffusion/model_source.h"
#include "diffusion/model_weights.h"
#include "diffusion/prediction_names.h"
#include "diffusion/unet.h"
#include "io/files/dtypes.h"
#include "io/files/error.h"
#include "io/files/safetensors.h"

namespace weft {
namespace {

const char* beside_name(Beside beside) {
    switch (beside) {
        case Beside::nothing:
            return "nothing";
        case Beside::source:
            return "source";
        case Beside::mask:
            return "mask and masked source";
        case Beside::depth:
            return "depth map";
        case Beside::low_resolution:
            return "small picture";
    }
    return "unknown";
}

/// Counts, bytes and dtypes of some tensors.
Report describe_tensors(const LazyTensors& tensors) {
    int64_t parameters = 0;
    int64_t bytes = 0;
    std::set<std::string> dtypes;
    for (const auto& [name, tensor] : tensors) {
        const int64_t count = c10::multiply_integers(tensor.shape);
        parameters += count;
        bytes += count * static_cast<int64_t>(c10::elementSize(tensor.dtype));
        dtypes.emplace(dtype_name(tensor.dtype));
    }
    return {{"tensors", tensors.size()},
            {"parameters", parameters},
            {"bytes", bytes},
            {"dtypes", dtypes}};
}

bool has_weights(const std::string& component) {
    constexpr std::array<const char*, 4> without{"tokenizer", "tokenizer_2", "feature_extractor",
                                                 "low_res_scheduler"};
    return component != "scheduler" &&
           std::find(without.begin(), without.end(), component) == without.end();
}

Report describe_component(const ModelSource& source, const std::string& name) {
    Report report;
    if (!has_weights(name)) {
        report["class"] = source.index().texts(name).back();
        return report;
    }
    try {
        const auto own_class = source.config(name).text("_class_name", "");
        report["class"] = own_class.empty() ? source.index().texts(name).back() : own_class;
        report.update(describe_tensors(source.tensors(name)));
    } catch (const Error& error) {
        report["problem"] = error.what();  // a part that weft may not even need, as a pickle
    }
    return report;
}

/// Builds the network of a component out of weights without data; true where weft has one.
bool build(const std::string& component, const Config& config, const Weights& weights) {
    if (component == "unet") {
        const Unet unet(read_unet_config(config), weights);
    } else if (component == "vae") {
        make_autoencoder(config, weights);
    } else if (component.starts_with("text_encoder")) {
        const ClipTextModel text(read_clip_text_config(config), weights);
    } else {
        return false;
    }
    return true;
}

/// Names in a model's files that no layer takes: a sign of a variant that weft reads only in part.
std::vector<std::string> unmatched_names(const ModelSource& source) {
    std::vector<std::string> names;
    for (const auto& component : source.components()) {
        if (!has_weights(component)) {
            continue;
        }
        const auto weights = source.weights(component, {torch::kMeta, torch::kFloat32});
        if (!build(component, source.config(component), weights)) {
            continue;
        }
        const auto unused = unused_names(component, weights);
        names.insert(names.end(), unused.begin(), unused.end());
    }
    const auto strangers = source.strangers();
    names.insert(names.end(), strangers.begin(), strangers.end());
    return names;
}

Report describe_traits(const ModelTraits& traits) {
    Report report{{"family", traits.family}};
    if (!traits.variant.empty()) {
        report["variant"] = traits.variant;
    }
    report.update({{"prediction", name_of(traits.prediction)},
                   {"fed_beside_latents", beside_name(traits.beside)},
                   {"source_conditioned", traits.source_conditioned},
                   {"latent_channels", traits.latent_channels},
                   {"downscale", traits.downscale},
                   {"size_multiple", traits.size_multiple},
                   {"native_size", traits.native_size},
                   {"edit_size", traits.edit_size > 0 ? traits.edit_size : traits.native_size},
                   {"text_width", traits.text_width}});
    report["defaults"] = {{"steps", traits.defaults.steps},
                          {"guidance", traits.defaults.guidance},
                          {"image_guidance", traits.defaults.image_guidance},
                          {"sampler", traits.defaults.sampler},
                          {"strength", traits.defaults.strength}};
    if (traits.defaults.generation_steps) {
        report["defaults"]["generation_steps"] = *traits.defaults.generation_steps;
    }
    if (traits.defaults.generation_guidance) {
        report["defaults"]["generation_guidance"] = *traits.defaults.generation_guidance;
    }
    return report;
}

/// Adapters have no weights of their own to run: differences or factors for a model's layers.
Report describe_adapter_file(const AdapterInfo& info) {
    Report report{{"kind", "adapter"}, {"adapter", info.kinds}, {"layout", info.layouts}};
    report["rank"] = {{"smallest", info.smallest_rank}, {"largest", info.largest_rank}};
    report["scale"] = {{"smallest", info.smallest_scale}, {"largest", info.largest_scale}};
    report["layers"] = info.layers;
    report["targets"] = info.targets;
    report["unmatched"] = info.unknown_keys;
    if (!info.base_model.empty()) {
        report["base_model"] = info.base_model;
    }
    return report;
}

/// The component that a file in diffusers' or transformers' naming holds; empty where none.
std::string component_of(const SafeTensors& file) {
    struct Sign {
        const char* name;
        const char* component;
    };

    constexpr std::array<Sign, 5> signs{{
        {"down_blocks.0.resnets.0.time_emb_proj.weight", "unet"},
        {"decoder.conv_norm_out.weight", "vae"},
        {"decoder.layers.0.weight", "tiny vae"},
        {"text_model.final_layer_norm.weight", "text_encoder"},
        {"final_layer_norm.weight", "text_encoder"},
    }};
    for (const Sign& sign : signs) {
        if (file.has(sign.name)) {
            return sign.component;
        }
    }
    return "";
}

bool is_checkpoint(const SafeTensors& file) {
    std::vector<std::string> names;
    for (const auto& [name, entry] : file.entries()) {
        names.push_back(name);
    }
    return checkpoint_layout(names).has_value();
}

bool is_adapter(const SafeTensors& file) {
    constexpr std::array<const char*, 8> parts{"lora_down", "lora_up", "lora_A", "lora_B",
                                               "hada_w1",   "lokr_w",  ".lora.", "dora_scale"};
    return std::any_of(file.entries().begin(), file.entries().end(), [&](const auto& entry) {
        return std::any_of(parts.begin(), parts.end(), [&](const char* part) {
            return entry.first.find(part) != std::string::npos;
        });
    });
}

}  // namespace

Report describe_model(const std::filesystem::path& path) {
    const auto source = ModelSource::open(path);
    const auto traits = DiffusionModel::read_traits(path);
    Report report{{"path", path.string()}, {"kind", "model"}};
    report["layout"] = std::filesystem::is_directory(path) ? "folder" : "single file";
    report.update(describe_traits(traits));
    for (const auto& name : source->components()) {
        report["components"][name] = describe_component(*source, name);
    }
    report["unmatched"] = unmatched_names(*source);
    report["words"] = traits.words;
    return report;
}

Report describe_tensor_file(const std::filesystem::path& path) {
    const SafeTensors file(path);
    if (is_checkpoint(file)) {
        return describe_model(path);
    }
    Report report{{"path", path.string()}, {"kind", "tensors"}};
    if (is_adapter(file)) {
        report.update(describe_adapter_file(describe_adapter(path)));
    } else if (const std::string component = component_of(file); !component.empty()) {
        report["kind"] = "component";
        report["component"] = component;
    }
    report["files"] = 1;
    report.update(describe_tensors(lazy_tensors({path})));
    report["metadata"] = file.metadata();
    return report;
}

}  // namespace weft
