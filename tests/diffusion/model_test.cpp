#include "diffusion/model.h"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "io/files/error.h"

using namespace weft;
namespace fs = std::filesystem;

namespace {

const fs::path models = fs::path(WEFT_SOURCE_DIR) / "tests/parity/models";
const DeviceChoice cpu{.device = "cpu", .dtype = "f32"};

// A copy of a model that a test may break.
struct Copy {
    fs::path path = fs::temp_directory_path() / "weft-model-test";

    explicit Copy(const std::string& name) {
        fs::remove_all(path);
        fs::copy(models / name, path, fs::copy_options::recursive);
    }

    ~Copy() { fs::remove_all(path); }

    // Replaces one text in a file by another.
    void edit(const std::string& file, const std::string& from, const std::string& to) const {
        std::ifstream in(path / file);
        std::string text{std::istreambuf_iterator<char>(in), {}};
        const size_t at = text.find(from);
        REQUIRE(at != std::string::npos);
        std::ofstream(path / file) << text.replace(at, from.size(), to);
    }
};

}  // namespace

TEST_CASE("traits come from the configs") {
    const ModelTraits sd = DiffusionModel::read_traits(models / "sd");
    CHECK(sd.name == "sd");
    CHECK(sd.family == "sd1");
    CHECK_FALSE(sd.source_conditioned);
    CHECK(sd.latent_channels == 4);
    CHECK(sd.downscale == 2);
    CHECK(sd.size_multiple == 4);
    CHECK(sd.native_size == 32);
    CHECK(sd.text_width == 16);
    const ModelTraits instruct = DiffusionModel::read_traits(models / "instruct/");
    CHECK(instruct.name == "instruct");
    CHECK(instruct.source_conditioned);
    CHECK(instruct.prediction == Prediction::v);
}

TEST_CASE("weft.json overrides the family's defaults") {
    const Copy copy("sd");
    std::ofstream(copy.path / "weft.json") << R"({"steps": 8, "guidance": 2.5, "sampler": "euler",
        "native_size": 64, "words": ["night", "neon"]})";
    const ModelTraits traits = DiffusionModel::read_traits(copy.path);
    CHECK(traits.defaults.steps == 8);
    CHECK(traits.defaults.guidance == 2.5);
    CHECK(traits.defaults.sampler == "euler");
    CHECK(traits.native_size == 64);
    CHECK(traits.words == std::vector<std::string>{"night", "neon"});
    std::ofstream(copy.path / "weft.json") << R"({"steps": -3})";
    CHECK_THROWS_AS(DiffusionModel::read_traits(copy.path), Error);
}

TEST_CASE("a model encodes, decodes and denoises with the shapes it promises") {
    const auto model = DiffusionModel::load(models / "instruct", cpu);
    const TextCondition text = model->encode_text({"a ball", "", "night"});
    CHECK(text.states.sizes() == at::IntArrayRef({3, 77, 16}));
    const torch::Tensor latents = model->encode(torch::rand({2, 3, 12, 16}));
    CHECK(latents.sizes() == at::IntArrayRef({2, 4, 6, 8}));
    const torch::Tensor image = model->decode(latents * 100);
    CHECK(image.sizes() == at::IntArrayRef({2, 3, 12, 16}));
    CHECK(image.min().item<float>() >= 0);
    CHECK(image.max().item<float>() <= 1);
    const Denoise denoise = model->denoise({.text = text.rows(torch::tensor({0})),
                                            .negative = text.rows(torch::tensor({1})),
                                            .source = latents,
                                            .guidance = 3,
                                            .image_guidance = 1.5});
    const auto steps = model->levels(sampler_named("ddim"), 4);
    const torch::Tensor x0 = denoise(torch::randn({2, 4, 6, 8}), steps.front().from);
    CHECK(x0.sizes() == latents.sizes());
    CHECK(x0.scalar_type() == torch::kFloat32);
    CHECK_FALSE(x0.requires_grad());
}

TEST_CASE("bf16 stays near f32") {
    auto answer = [](const std::string& dtype) {
        const auto model = DiffusionModel::load(models / "sd", {.device = "cpu", .dtype = dtype});
        const Denoise denoise = model->denoise({.text = model->encode_text({"a ball"}),
                                                .negative = {},
                                                .source = {},
                                                .guidance = 1,
                                                .image_guidance = 1});
        return denoise(torch::linspace(-1, 1, 4 * 6 * 8).view({1, 4, 6, 8}),
                       model->schedule().level(300));
    };
    const torch::Tensor difference = (answer("bf16") - answer("f32")).abs();
    CHECK(difference.max().item<float>() < 0.1);
    CHECK(difference.max().item<float>() > 0);
}

TEST_CASE("models that do not fit are told") {
    CHECK_THROWS_WITH(DiffusionModel::load("/nowhere/model", cpu),
                      Catch::Contains("no such folder"));
    const Copy copy("sd");
    SECTION("a file that is no checkpoint") {
        CHECK_THROWS_WITH(DiffusionModel::load(copy.path / "unet/config.json", cpu),
                          Catch::Contains("no safetensors file"));
        CHECK_THROWS_WITH(
            DiffusionModel::load(copy.path / "unet/diffusion_pytorch_model.safetensors", cpu),
            Catch::Contains("no whole Stable Diffusion checkpoint"));
    }
    SECTION("an unknown family") {
        copy.edit("unet/config.json", "\"in_channels\": 4", "\"in_channels\": 11");
        CHECK_THROWS_WITH(DiffusionModel::load(copy.path, cpu), Catch::Contains("11 channels"));
    }
    SECTION("weights of another shape") {
        copy.edit("unet/config.json", "\"layers_per_block\": 1", "\"layers_per_block\": 2");
        CHECK_THROWS_AS(DiffusionModel::load(copy.path, cpu), Error);
    }
    SECTION("a tokenizer of another model") {
        copy.edit("tokenizer/vocab.json", "715", "70000");
        CHECK_THROWS_WITH(DiffusionModel::load(copy.path, cpu), Catch::Contains("tokenizer"));
    }
    SECTION("a missing component") {
        fs::remove_all(copy.path / "vae");
        CHECK_THROWS_WITH(DiffusionModel::load(copy.path, cpu), Catch::Contains("vae"));
    }
    SECTION("a scheduler without discrete timesteps") {
        copy.edit("scheduler/scheduler_config.json", "DDIMScheduler", "EDMEulerScheduler");
        CHECK_THROWS_AS(DiffusionModel::load(copy.path, cpu), Error);
    }
}

TEST_CASE("models are found by path, then by name on the shelves") {
    CHECK(find_model((models / "sd").string(), {}) == models / "sd");
    CHECK(find_model("sd", {"/nowhere", models}) == models / "sd");
    CHECK_THROWS_WITH(find_model("sdxl", {models}), Catch::Contains("instruct, sd"));
    CHECK_THROWS_AS(find_model("../models/sd/unet", {models}), Error);
    CHECK_THROWS_AS(find_model("", {models}), Error);
    const auto shelves = model_shelves("/nowhere/bin/weft", models);
    CHECK(std::find(shelves.begin(), shelves.end(), models) != shelves.end());
}
