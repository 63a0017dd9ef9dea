#include <catch2/catch.hpp>

#include "diffusion/adapter.h"
#include "diffusion/clip.h"
#include "diffusion/unet.h"
#include "io/files/model_folder.h"
#include "tests/parity/reference.h"

namespace weft {
namespace {

const std::string folder = std::string(WEFT_SOURCE_DIR) + "/tests/parity";

// "one:0.7" -> ".../lora/one.safetensors:0.7"
std::vector<LoraChoice> choices_of(const Config& config) {
    std::vector<LoraChoice> choices;
    for (const std::string& text : config.texts("loras")) {
        const size_t colon = std::min(text.find(':'), text.size());
        choices.push_back(parse_lora(folder + "/lora/" + text.substr(0, colon) + ".safetensors" +
                                     text.substr(colon)));
    }
    return choices;
}

struct Way {
    LoraMode mode = LoraMode::merged;
    WeightOptions options = {};
};

torch::Tensor answer(const Config& config, const SafeTensors& file, const Way& way = {}) {
    const WeightOptions& options = way.options;
    const ModelFolder model(folder + "/models/sd");
    const std::string component = config.text("component");
    Weights weights = model.weights(component, options);
    std::vector<LoraChoice> choices = choices_of(config);
    for (LoraChoice& choice : choices) choice.mode = way.mode;
    Adapters adapters(choices);
    adapters.apply_to(component, weights);
    for (const std::string& note : adapters.finish()) {
        CHECK(way.mode == LoraMode::unmerged);
        CHECK_THAT(note, Catch::Contains("were merged"));
    }
    if (component == "text_encoder") {
        const ClipTextModel text(read_clip_text_config(model.config(component)), weights);
        return text(file.tensor("input_ids")).last_hidden_state;
    }
    const Unet unet(read_unet_config(model.config(component)), weights);
    return unet(file.tensor("sample").to(options.dtype), file.tensor("timestep"),
                file.tensor("encoder_hidden_states").to(options.dtype));
}

}  // namespace

TEST_CASE("adapters of every layout and kind do what diffusers and PEFT do", "[parity][lora]") {
    const torch::NoGradGuard inference;
    const SafeTensors file(folder + "/loras.safetensors");
    CHECK(file.metadata().size() == 23);
    torch::Tensor plain;
    for (const auto& [name, options] : file.metadata()) {
        INFO(options);
        const Config config = Config::parse(options, name);
        const torch::Tensor theirs = file.tensor(name + "/out");
        CHECK(max_error(answer(config, file), theirs) <= 1e-4);
        // The adapter is seen at all.
        const std::string bare = config.text("component") == "unet" ? "0/out" : "1/out";
        if (!config.texts("loras").empty())
            CHECK(max_error(theirs, file.tensor(bare)) > 0.01);
    }
}

TEST_CASE("LoRAs beside their layers do what diffusers and PEFT do", "[parity][lora]") {
    const torch::NoGradGuard inference;
    const SafeTensors file(folder + "/loras.safetensors");
    for (const auto& [name, options] : file.metadata()) {
        INFO(options);
        const Config config = Config::parse(options, name);
        const torch::Tensor beside = answer(config, file, {LoraMode::unmerged});
        CHECK(max_error(beside, file.tensor(name + "/out")) <= 1e-4);
        CHECK(max_error(beside, answer(config, file)) <= 1e-4);
    }
}

TEST_CASE("adapters in bf16 stay near f32", "[parity][lora]") {
    const LoraMode mode = GENERATE(LoraMode::merged, LoraMode::unmerged);
    const torch::NoGradGuard inference;
    const SafeTensors file(folder + "/loras.safetensors");
    for (const auto& [name, options] : file.metadata()) {
        INFO(options);
        const Config config = Config::parse(options, name);
        const torch::Tensor half = answer(config, file, {mode, {.dtype = bf16.dtype}});
        CHECK(half.scalar_type() == bf16.dtype);
        CHECK(bf16.error(half, file.tensor(name + "/out")) <= bf16.tolerance());
    }
}

}  // namespace weft
