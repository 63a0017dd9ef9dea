#include <c10/util/StringUtil.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "diffusion/autoencoder_kl.h"
#include "diffusion/checkpoint.h"
#include "diffusion/clip.h"
#include "diffusion/model.h"
#include "diffusion/unet.h"
#include "io/files/dtypes.h"
#include "io/files/error.h"

using namespace weft;

namespace {

namespace fs = std::filesystem;

const WeightOptions no_data{.device = torch::kMeta, .dtype = torch::kFloat16};

Config kinds() {
    return Config::read(fs::path(WEFT_SOURCE_DIR) / "tests/parity/checkpoints.json");
}

// Builds the network of a component; without data unless `weights` holds some.
void build(const std::string& component, const Config& config, const Weights& weights) {
    if (component == "unet")
        const Unet unet(read_unet_config(config), weights);
    else if (component == "vae")
        const AutoencoderKL vae(read_autoencoder_kl_config(config), weights);
    else
        const ClipTextModel text(read_clip_text_config(config), weights);
}

using Shapes = std::map<std::string, std::vector<int64_t>>;

// The released model of a kind: component -> name -> shape.
std::map<std::string, Shapes> released(const Config& configs) {
    std::map<std::string, Shapes> out;
    for (const std::string& component : configs.keys()) {
        const Weights weights = Weights::create(0, no_data);
        build(component, configs.object(component), weights);
        for (const auto& [name, tensor] : weights.tensors())
            out[component][name] = tensor.sizes().vec();
    }
    return out;
}

ComponentNames names_of(const std::map<std::string, Shapes>& model) {
    ComponentNames names;
    for (const auto& [component, shapes] : model)
        for (const auto& [name, shape] : shapes) names[component].push_back(name);
    return names;
}

// As a checkpoint stores it.
std::vector<int64_t> stored_shape(const Shapes& shapes, const StoredName& name) {
    std::vector<int64_t> shape = shapes.at(name.parts.front());
    for (size_t i = 1; i < name.parts.size(); ++i) shape[0] += shapes.at(name.parts[i])[0];
    if (name.reshaping == Reshaping::transposed)
        std::swap(shape[0], shape[1]);
    if (name.reshaping == Reshaping::linear)
        shape.insert(shape.end(), {1, 1});
    return shape;
}

std::map<std::string, Shapes> stored(const std::map<std::string, Shapes>& model,
                                     const CheckpointLayout& layout) {
    std::vector<std::string> unmatched;
    std::map<std::string, Shapes> out;
    for (const StoredName& name : stored_names(names_of(model), layout, unmatched))
        out[name.component][name.stored] = stored_shape(model.at(name.component), name);
    CHECK(unmatched.empty());
    return out;
}

std::string digest(const Shapes& shapes) {
    uint64_t value = 0xcbf29ce484222325U;
    std::set<std::string> lines;
    for (const auto& [name, shape] : shapes)
        lines.insert(c10::str(name, " [", c10::Join(", ", shape), "]\n"));
    for (const std::string& line : lines)
        for (const char c : line) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    std::array<char, 17> text{};
    std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(value));
    return text.data();
}

// A safetensors file with these shapes and no data: a hole of the right size.
class HollowFile {
  public:
    explicit HollowFile(const std::map<std::string, Shapes>& components, const Shapes& more = {}) {
        std::string header = "{";
        int64_t begin = 0;
        const auto add = [&](const std::string& name, const std::vector<int64_t>& shape) {
            const int64_t end = begin + 2 * c10::multiply_integers(shape);
            header +=
                c10::str(header.size() == 1 ? "" : ",", "\"", name, R"(":{"dtype":"F16","shape":[)",
                         c10::Join(",", shape), R"(],"data_offsets":[)", begin, ",", end, "]}");
            begin = end;
        };
        for (const auto& [component, shapes] : components)
            for (const auto& [name, shape] : shapes) add(name, shape);
        for (const auto& [name, shape] : more) add(name, shape);
        header += "}";
        const uint64_t length = header.size();
        std::ofstream file(path, std::ios::binary);
        file.write(reinterpret_cast<const char*>(&length), sizeof length);
        file << header;
        file.close();
        fs::resize_file(path, sizeof length + length + static_cast<uint64_t>(begin));
    }

    HollowFile(const HollowFile&) = delete;
    HollowFile& operator=(const HollowFile&) = delete;

    ~HollowFile() { fs::remove(path); }

    const fs::path path = fs::temp_directory_path() / "weft-hollow-checkpoint.safetensors";
};

bool is_open_clip(const Config& configs) {
    return configs.has("text_encoder") &&
           configs.object("text_encoder").text("hidden_act") == "gelu";
}

// Without what is written for levels that have no attention; the last one's depth is the middle's.
std::string relevant(const Config& config) {
    UnetConfig unet = expanded(read_unet_config(config), "unet");
    for (size_t i = 0; i < unet.down_block_types.size(); ++i) {
        if (unet.down_block_types[i] == "CrossAttnDownBlock2D")
            continue;
        unet.only_cross_attention[i] = false;
        if (i + 1 < unet.down_block_types.size())
            unet.transformer_layers_per_block[i] = 1;
    }
    return unet_config_json(unet);
}

// Configs are the same where they describe the same network and latents.
void check_config(const std::string& component, const Config& ours, const Config& theirs) {
    if (component == "unet") {
        CHECK(relevant(ours) == relevant(theirs));
    } else if (component == "vae") {
        const AutoencoderKLConfig a = read_autoencoder_kl_config(ours);
        const AutoencoderKLConfig b = read_autoencoder_kl_config(theirs);
        CHECK(a.block_out_channels == b.block_out_channels);
        CHECK(a.layers_per_block == b.layers_per_block);
        CHECK(a.scaling_factor == b.scaling_factor);
        CHECK(a.norm_num_groups == b.norm_num_groups);
    } else {
        ClipTextConfig a = read_clip_text_config(ours);
        a.pad_token_id = ClipTextConfig{}.pad_token_id;
        CHECK(clip_text_config_json(a) == clip_text_config_json(read_clip_text_config(theirs)));
    }
}

}  // namespace

TEST_CASE("full-size models are stored under the names that diffusers' conversion reads",
          "[checkpoints]") {
    const Config all = kinds();
    CHECK(all.keys().size() == 8);
    for (const std::string& kind : all.keys()) {
        const Config configs = all.object(kind).object("configs");
        const auto model = released(configs);
        const auto layout = original_layout(names_of(model), is_open_clip(configs));
        REQUIRE(layout);
        for (const auto& [component, shapes] : stored(model, *layout)) {
            INFO(kind << " " << component);
            const Config expected = all.object(kind).object("stored").object(component);
            CHECK(static_cast<int64_t>(shapes.size()) == expected.integer("count", {}));
            CHECK(digest(shapes) == expected.text("digest"));
        }
    }
}

TEST_CASE("a checkpoint is told by its names, its configs by its shapes", "[checkpoints]") {
    const Config all = kinds();
    for (const std::string& kind : all.keys()) {
        INFO(kind);
        const Config configs = all.object(kind).object("configs");
        const auto model = released(configs);
        const auto layout = original_layout(names_of(model), is_open_clip(configs));
        const HollowFile file(stored(model, *layout));
        const Checkpoint checkpoint(file.path);
        CHECK(checkpoint.strangers().empty());
        for (const auto& [component, shapes] : model) {
            INFO(component);
            check_config(component, checkpoint.config(component), configs.object(component));
            const Weights weights = checkpoint.weights(component, no_data);
            build(component, checkpoint.config(component), weights);
            CHECK(weights.unused().empty());
            CHECK(weights.names().size() == shapes.size());
        }
        const std::string family = DiffusionModel::read_traits(file.path).family;
        CHECK((family == kind || family == kind + "1" || kind.starts_with(family)));
    }
}

TEST_CASE("leftovers are passed over, strangers are named", "[checkpoints]") {
    const Config configs = kinds().object("sd1").object("configs");
    const auto model = released(configs);
    const auto layout = original_layout(names_of(model), false);
    const HollowFile file(
        stored(model, *layout),
        {{"model_ema.decay", {1}},
         {"alphas_cumprod", {1000}},
         {"cond_stage_model.transformer.text_model.embeddings.position_ids", {1, 77}},
         {"model.diffusion_model.input_blocks.1.7.strange", {3}}});
    const Checkpoint checkpoint(file.path);
    CHECK(checkpoint.strangers() ==
          std::vector<std::string>{"model.diffusion_model.input_blocks.1.7.strange"});
}

TEST_CASE("what a checkpoint predicts follows its signs", "[checkpoints]") {
    const Config all = kinds();
    const auto predicts = [&](const std::string& kind, const Shapes& more) {
        const Config configs = all.object(kind).object("configs");
        const auto model = released(configs);
        const auto layout = original_layout(names_of(model), is_open_clip(configs));
        const HollowFile file(stored(model, *layout), more);
        return DiffusionModel::read_traits(file.path);
    };
    CHECK(predicts("sd1", {}).prediction == Prediction::epsilon);
    CHECK(predicts("sd2", {}).prediction == Prediction::v);
    CHECK(predicts("sd2", {}).native_size == 768);
    CHECK(predicts("sd2-depth", {}).prediction == Prediction::epsilon);
    CHECK(predicts("sdxl", {}).prediction == Prediction::epsilon);
    CHECK(predicts("sdxl", {{"v_pred", {1}}}).prediction == Prediction::v);
    CHECK(predicts("upscaler", {}).prediction == Prediction::v);
}

TEST_CASE("few-step variants of a file are told by its name", "[checkpoints]") {
    const Config configs = kinds().object("sdxl").object("configs");
    const auto model = released(configs);
    const HollowFile file(stored(model, *original_layout(names_of(model), false)));
    const auto traits_as = [&](const std::string& name) {
        const fs::path link = file.path.parent_path() / name;
        fs::remove(link);
        fs::create_hard_link(file.path, link);
        const ModelTraits traits = DiffusionModel::read_traits(link);
        fs::remove(link);
        return traits;
    };
    CHECK(traits_as("juggernautXL.safetensors").variant.empty());
    CHECK(traits_as("juggernautXL.safetensors").defaults.guidance == 5);
    CHECK(traits_as("dreamshaperXL_Lightning.safetensors").variant == "lightning");
    CHECK(traits_as("sd_xl_turbo_1.0_fp16.safetensors").variant == "turbo");
    CHECK(traits_as("Hyper-SDXL-8steps.safetensors").variant == "hyper");
    const ModelTraits lcm = traits_as("animeLCM.safetensors");
    CHECK(lcm.variant == "lcm");
    CHECK(lcm.defaults.sampler == "lcm");
    CHECK(lcm.defaults.guidance == 1);
    CHECK(lcm.defaults.steps <= 8);
}

TEST_CASE("a torn checkpoint says what is missing", "[checkpoints]") {
    const Config configs = kinds().object("sd1").object("configs");
    auto model = released(configs);
    const auto layout = original_layout(names_of(model), false);
    auto torn = stored(model, *layout);
    torn.at("unet").erase("model.diffusion_model.input_blocks.0.0.weight");
    {
        const HollowFile file(torn);
        CHECK_THROWS_WITH(DiffusionModel::read_traits(file.path), Catch::Contains("conv_in"));
    }
    torn.erase("vae");
    const HollowFile file(torn);
    CHECK_THROWS_WITH(Checkpoint(file.path), Catch::Contains("no whole Stable Diffusion"));
}

TEST_CASE("reshaped tensors are what the layouts say", "[checkpoints]") {
    const torch::Tensor fused = torch::arange(12).view({6, 2});
    CHECK(torch::equal(reshaped(fused, Reshaping::first_third), fused.slice(0, 0, 2)));
    CHECK(torch::equal(reshaped(fused, Reshaping::second_third), fused.slice(0, 2, 4)));
    CHECK(torch::equal(reshaped(fused, Reshaping::last_third), fused.slice(0, 4, 6)));
    CHECK(torch::equal(reshaped(fused, Reshaping::transposed), fused.t()));
    CHECK(reshaped(torch::zeros({3, 5, 1, 1}), Reshaping::linear).sizes() ==
          at::IntArrayRef({3, 5}));
    CHECK_FALSE(reshaped_shape({7, 2}, Reshaping::first_third));
    CHECK_FALSE(reshaped_shape({7, 2, 3, 3}, Reshaping::linear));
    CHECK_FALSE(reshaped_shape({7}, Reshaping::transposed));
}
