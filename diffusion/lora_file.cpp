#include "diffusion/lora_file.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <system_error>

#include "diffusion/lora_keys.h"
#include "io/files/config.h"
#include "io/files/error.h"
#include "io/files/safetensors.h"
#include "io/files/text.h"

namespace weft {

namespace {

namespace fs = std::filesystem;

AdapterKind kind_of(const AdapterLayer& layer) {
    if (layer.has("down") || layer.has("up"))
        return AdapterKind::lora;
    for (const auto& [role, tensor] : layer.tensors) {
        if (role.starts_with("hada_"))
            return AdapterKind::loha;
        if (role.starts_with("lokr_"))
            return AdapterKind::lokr;
    }
    return AdapterKind::full;
}

double number_in(const torch::Tensor& tensor, const std::string& where) {
    const double value = tensor.numel() == 1 && !tensor.is_complex()
                             ? tensor.to(torch::kFloat64).item<double>()
                             : std::numeric_limits<double>::quiet_NaN();
    if (!std::isfinite(value))
        throw Error(where, "its alpha is no number", "the file is damaged; fetch it again");
    return value;
}

// How PEFT's config scales the layers of a component.
struct PeftScale {
    double alpha = 0;
    double rank = 0;
    bool rank_stabilised = false;
    std::map<std::string, double> by_layer;  // ends of layers' names

    static PeftScale read(const Config& config, const std::string& prefix) {
        PeftScale scale;
        const std::string pattern = prefix + "alpha_pattern";
        scale.alpha = config.number(prefix + "lora_alpha", {0, 1e6},
                                    config.number(prefix + "alpha", {0, 1e6}, 0.0));
        scale.rank = config.number(prefix + "r", {0, 1e6}, 0.0);
        scale.rank_stabilised = config.flag(prefix + "use_rslora", false);
        const Config layers = config.has(pattern) ? config.object(pattern) : Config();
        for (const std::string& layer : layers.keys())
            scale.by_layer[layer] = layers.number(layer, {0, 1e6});
        return scale;
    }

    void apply(const std::string& name, AdapterLayer& layer) const {
        layer.rank_stabilised = rank_stabilised;
        if (layer.alpha != 0)
            return;
        layer.alpha = alpha;
        for (const auto& [end, own] : by_layer)
            if (name == end || name.ends_with("." + end))
                layer.alpha = own;
        if (layer.kind == AdapterKind::lokr && rank > 0)
            layer.whole_scale = layer.alpha / rank;
    }
};

// diffusers writes the configs of all components into the metadata, PEFT one beside the file.
void read_peft_scales(AdapterFile& file) {
    constexpr const char* key = "lora_adapter_metadata";
    const std::string where = file.path.string();
    const fs::path beside = file.path.parent_path() / "adapter_config.json";
    std::error_code ignored;
    const bool told = file.metadata.contains(key);
    if (!told && !fs::is_regular_file(beside, ignored))
        return;
    const Config config = told ? Config::parse(file.metadata.at(key), where + " (" + key + ")")
                               : Config::read(beside);
    for (auto& [component, layers] : file.layers) {
        const PeftScale scale = PeftScale::read(config, told ? component + "." : "");
        for (auto& [name, layer] : layers) scale.apply(name, layer);
    }
}

void add_tensor(AdapterFile& file, const AdapterKey& key, const torch::Tensor& tensor) {
    AdapterLayer& layer = file.layers[key.component][key.layer];
    layer.where = c10::str(file.path.string(), ": ", key.layer);
    if (key.role == "alpha")
        layer.alpha = number_in(tensor, layer.where);
    else if (!tensor.is_floating_point())
        throw Error(layer.where, c10::str("tensor '", key.role, "' holds no real numbers"),
                    "the file is damaged; fetch it again");
    else  // PEFT shapes a convolution's magnitudes [1, out, 1, 1], which elsewhere means inputs
        layer.tensors[key.role] =
            key.role == "magnitude" && key.layout == AdapterKey::peft ? tensor.flatten() : tensor;
}

// An alpha alone, without the tensors it scales, is no layer.
void drop_empty_layers(AdapterFile& file) {
    for (auto& [component, layers] : file.layers)
        std::erase_if(layers, [](const auto& entry) { return entry.second.tensors.empty(); });
    std::erase_if(file.layers, [](const auto& entry) { return entry.second.empty(); });
}

// What a layer is within its block, from either form of its name, for a person.
std::string target_of(const std::string& layer) {
    constexpr std::array<const char*, 28> targets{"attn1.to_q",
                                                  "attn1.to_k",
                                                  "attn1.to_v",
                                                  "attn1.to_out.0",
                                                  "attn2.to_q",
                                                  "attn2.to_k",
                                                  "attn2.to_v",
                                                  "attn2.to_out.0",
                                                  "ff.net.0.proj",
                                                  "ff.net.2",
                                                  "proj_in",
                                                  "proj_out",
                                                  "conv1",
                                                  "conv2",
                                                  "conv_shortcut",
                                                  "time_emb_proj",
                                                  "in_layers.2",
                                                  "out_layers.3",
                                                  "emb_layers.1",
                                                  "skip_connection",
                                                  "self_attn.q_proj",
                                                  "self_attn.k_proj",
                                                  "self_attn.v_proj",
                                                  "self_attn.out_proj",
                                                  "downsamplers.0.conv",
                                                  "upsamplers.0.conv",
                                                  "mlp.fc1",
                                                  "mlp.fc2"};
    const auto flat = [](std::string name) {
        std::replace(name.begin(), name.end(), '.', '_');
        return name;
    };
    for (const char* target : targets)
        if (flat(layer).ends_with(c10::str("_", flat(target))))
            return target;
    return "other";
}

void count_layer(AdapterInfo& info, const std::string& name, const AdapterLayer& layer) {
    const int64_t rank = layer.rank();
    const double scale = layer.scale();
    const bool first = info.targets.empty();
    if (rank > 0) {
        info.smallest_rank = info.smallest_rank == 0 ? rank : std::min(info.smallest_rank, rank);
        info.largest_rank = std::max(info.largest_rank, rank);
    }
    info.smallest_scale = first ? scale : std::min(info.smallest_scale, scale);
    info.largest_scale = first ? scale : std::max(info.largest_scale, scale);
    ++info.targets[target_of(name)];
}

}  // namespace

AdapterFile AdapterFile::read(const fs::path& path) {
    const SafeTensors tensors(path);
    AdapterFile file;
    file.path = path;
    file.metadata = tensors.metadata();
    std::set<std::string> layouts;
    for (const auto& [name, entry] : tensors.entries()) {
        const auto key = parse_adapter_key(name);
        if (!key) {
            file.unknown_keys.push_back(name);
            continue;
        }
        add_tensor(file, *key, tensors.tensor(name));
        if (key->role != "alpha")
            layouts.insert(key->layout);
    }
    drop_empty_layers(file);
    if (file.layers.empty())
        throw Error(
            path.string(), "holds no LoRA that weft knows",
            "give a LoRA, LoHa or LoKr file; embeddings go to --embedding, models to --model");
    for (auto& [component, layers] : file.layers)
        for (auto& [name, layer] : layers) layer.kind = kind_of(layer);
    file.layouts.assign(layouts.begin(), layouts.end());
    read_peft_scales(file);
    return file;
}

AdapterInfo describe_adapter(const fs::path& path) {
    const AdapterFile file = AdapterFile::read(path);
    AdapterInfo info;
    std::set<std::string> kinds;
    for (const auto& [component, layers] : file.layers) {
        info.layers[component] = static_cast<int64_t>(layers.size());
        for (const auto& [name, layer] : layers) {
            kinds.insert(name_of(layer.kind));
            if (layer.has("magnitude"))
                kinds.insert("DoRA");
            count_layer(info, name, layer);
        }
    }
    info.kinds.assign(kinds.begin(), kinds.end());
    info.layouts = file.layouts;
    info.unknown_keys = file.unknown_keys;
    for (const char* key : {"modelspec.architecture", "ss_base_model_version", "ss_sd_model_name"})
        if (const auto found = file.metadata.find(key);
            found != file.metadata.end() && info.base_model.empty())
            info.base_model = found->second;
    return info;
}

}  // namespace weft
