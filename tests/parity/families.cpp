#include <catch2/catch.hpp>
#include <filesystem>

#include "diffusion/model.h"
#include "diffusion/probe.h"
#include "io/files/error.h"
#include "tests/parity/layered_model.h"
#include "tests/parity/reference.h"

namespace weft {
namespace {

const std::filesystem::path parity = std::filesystem::path(WEFT_SOURCE_DIR) / "tests/parity";

struct Expected {
    const char* name;
    const char* family;
    const char* variant;
    Beside beside;
    Prediction prediction;
    std::vector<std::string> layers;
};

std::vector<Expected> families() {
    const std::string sd = "models/sd", xl = "families/sdxl";
    using enum Beside;
    return {
        {"sd2", "sd2", "", nothing, Prediction::v, {sd, "families/sd2"}},
        {"sd1-inpaint", "sd1-inpaint", "", mask, Prediction::epsilon, {sd, "families/sd1-inpaint"}},
        {"sd2-depth", "sd2-depth", "", depth, Prediction::epsilon, {sd, "families/sd2-depth"}},
        {"lcm", "sd1", "lcm", nothing, Prediction::epsilon, {sd, "families/lcm"}},
        {"upscaler",
         "upscaler",
         "",
         low_resolution,
         Prediction::epsilon,
         {sd, "families/upscaler"}},
        {"sdxl", "sdxl", "", nothing, Prediction::epsilon, {sd, xl}},
        {"refiner",
         "sdxl-refiner",
         "",
         nothing,
         Prediction::epsilon,
         {sd, xl, "families/sdxl-refiner"}},
        {"sdxl-inpaint",
         "sdxl-inpaint",
         "",
         mask,
         Prediction::epsilon,
         {sd, xl, "families/sdxl-inpaint"}},
        {"sdxl-instruct",
         "sdxl-instruct",
         "",
         source,
         Prediction::epsilon,
         {sd, xl, "families/sdxl-instruct"}},
    };
}

NamedTensors inputs_of(const SafeTensors& file, const std::string& number, const Config& config) {
    NamedTensors inputs;
    for (const std::string name : {"latents", "image", "mask_image", "depth_map", "image_noise"})
        if (file.has(c10::str(number, "/", name)))
            inputs.emplace_back(name, file.tensor(c10::str(number, "/", name)));
    if (config.has("noise_level"))
        inputs.emplace_back("noise_level", torch::tensor(config.integer("noise_level", {0, 999})));
    return inputs;
}

ProbeRequest request_of(const Config& config, const std::string& dtype) {
    ProbeRequest request;
    request.component = "sample";
    request.device = {.device = "cpu", .dtype = dtype};
    request.text = config.text("prompt");
    request.negative = config.text("negative");
    request.sampler = config.text("sampler");
    request.steps = config.integer("steps", {1, 100});
    request.guidance = config.number("guidance", {0, 100});
    request.image_guidance = config.number("image_guidance", {0, 100}, 1.0);
    request.strength = config.number("strength", {0, 1}, 1.0);
    return request;
}

}  // namespace

TEST_CASE("each family is told by its configs", "[families]") {
    for (const Expected& expected : families()) {
        INFO(expected.name);
        const LayeredModel model(expected.layers);
        const ModelTraits traits = DiffusionModel::read_traits(model.path());
        CHECK(traits.family == expected.family);
        CHECK(traits.variant == expected.variant);
        CHECK(traits.beside == expected.beside);
        CHECK(traits.prediction == expected.prediction);
        const ModelTraits forced =
            DiffusionModel::read_traits(model.path(), {.prediction = Prediction::sample});
        CHECK(forced.prediction == Prediction::sample);
    }
}

TEST_CASE("whole runs of every family equal diffusers' pipelines", "[families]") {
    const std::string dtype = GENERATE("f32", "bf16");
    const SafeTensors file(parity / "families.safetensors");
    CHECK(file.metadata().size() == 22);
    for (const auto& [number, text] : file.metadata()) {
        INFO(text);
        const Config config = Config::parse(text, number);
        const LayeredModel model(config.texts("layers"));
        ProbeRequest request = request_of(config, dtype);
        request.model = model.path();
        request.inputs = inputs_of(file, number, config);
        const torch::Tensor ours = probe(request).front().second;
        const torch::Tensor theirs = file.tensor(number + "/result");
        if (dtype == "bf16") {
            CHECK(relative_distance(ours, theirs) < bf16.tolerance());
            continue;
        }
        // Random networks let latents grow; the bound is for unit size.
        const double size = std::max(1.0, theirs.abs().max().item<double>());
        CHECK(max_error(ours, theirs) / size < 2e-5);
    }
}

TEST_CASE("sizes that a network is told count whole in bf16", "[families]") {
    const LayeredModel model({"models/sd", "families/sdxl"});
    const Config unet = Config::read(model.path() / "unet/config.json");
    const int64_t states = unet.integer("cross_attention_dim", {1, 4096});
    const int64_t pooled = unet.integer("projection_class_embeddings_input_dim", {1, 4096}) -
                           6 * unet.integer("addition_time_embed_dim", {1, 4096});
    const auto answer = [&](double height) {
        ProbeRequest request;
        request.component = "unet";
        request.model = model.path();
        request.device = {.device = "cpu", .dtype = "bf16"};
        request.inputs = {{"sample", torch::ones({1, 4, 8, 8})},
                          {"timestep", torch::tensor(500)},
                          {"encoder_hidden_states", torch::ones({1, 5, states})},
                          {"text_embeds", torch::ones({1, pooled})},
                          {"time_ids", torch::tensor({{height, 1.0, 0.0, 0.0, 1.0, 1.0}})}};
        return probe(request).front().second;
    };
    // bf16 has 1024 but not 1023.
    CHECK_FALSE(answer(1023).equal(answer(1024)));
}

TEST_CASE("what a family cannot do without is asked for", "[families]") {
    const LayeredModel depth({"models/sd", "families/sd2-depth"});
    const auto model = DiffusionModel::load(depth.path(), {.device = "cpu", .dtype = "f32"});
    const TextCondition text = model->encode_text({"a ball"});
    const Denoise denoise = model->denoise({.text = text, .negative = {}});
    CHECK_THROWS_WITH(denoise(torch::zeros({1, 4, 8, 8}), model->schedule().level(500)),
                      Catch::Contains("depth map"));
}

TEST_CASE("an inpainting model without a mask paints everything over grey", "[families]") {
    const LayeredModel folder({"models/sd", "families/sd1-inpaint"});
    const auto model = DiffusionModel::load(folder.path(), {.device = "cpu", .dtype = "f32"});
    const TextCondition text = model->encode_text({"a ball"});
    const BesideInputs grey{.mask = torch::ones({1, 1, 8, 8}),
                            .masked_source = model->encode(torch::full({1, 3, 16, 16}, 0.5))};
    const torch::Tensor x = torch::linspace(-1, 1, 512).view({2, 4, 8, 8});
    const NoiseLevel level = model->schedule().level(500);
    const torch::Tensor without = model->denoise({.text = text, .negative = {}})(x, level);
    const torch::Tensor with =
        model->denoise({.text = text, .negative = {}, .beside = grey})(x, level);
    CHECK(max_error(without, with) < 1e-4);
    const BesideInputs part{.mask = torch::zeros({1, 1, 8, 8}),
                            .masked_source = grey.masked_source};
    CHECK_FALSE(torch::equal(
        without, model->denoise({.text = text, .negative = {}, .beside = part})(x, level)));
}

}  // namespace weft
