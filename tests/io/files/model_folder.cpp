#include "io/files/model_folder.h"

#include <catch2/catch.hpp>

#include "tests/io/files/scratch.h"

namespace weft {

namespace {

const char* const index_json =
    R"({"_class_name": "StableDiffusionPipeline", "requires_safety": false,
  "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
  "scheduler": ["diffusers", "DDIMScheduler"], "safety_checker": [null, null],
  "feature_extractor": ["transformers", "CLIPImageProcessor"]})";

void make_model(const Scratch& scratch) {
    scratch.write("model_index.json", index_json);
    scratch.write("unet/config.json", R"({"in_channels": 4})");
    scratch.write("vae/config.json", "{}");
    scratch.write("scheduler/scheduler_config.json", R"({"num_train_timesteps": 1000})");
    save_safetensors(scratch / "vae/diffusion_pytorch_model.safetensors", {{"a", at::ones({2})}});
    save_sharded(scratch / "unet", "diffusion_pytorch_model",
                 {{"x", at::ones({4})}, {"y", at::ones({4})}}, 16);
}

bool says(const std::string& text, const std::string& part) {
    INFO(text << " should say " << part);
    CHECK(text.find(part) != std::string::npos);
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a diffusers folder lists its components, configs and weights") {
    const Scratch scratch;
    make_model(scratch);
    const ModelFolder model(scratch.folder());
    CHECK(model.components() == std::vector<std::string>({"unet", "vae", "scheduler"}));
    CHECK(model.index().text("_class_name") == "StableDiffusionPipeline");
    CHECK(model.has("vae"));
    CHECK(!model.has("feature_extractor"));
    CHECK(model.config("unet").integer("in_channels", {}) == 4);
    CHECK(model.config("scheduler").integer("num_train_timesteps", {}) == 1000);
    CHECK(model.weight_files("vae").size() == 1);
    CHECK(model.weight_files("unet").size() == 2);
    CHECK(model.weights("unet").at("y", {4}).sum().item<float>() == 4);
    CHECK(model.file("vae", "config.json") == scratch / "vae/config.json");
}

TEST_CASE("what is no model folder is said so") {
    const Scratch scratch;
    says(error_of([&] { ModelFolder(scratch / "none"); }), "no such folder");
    says(error_of([&] { ModelFolder(scratch.folder()); }), "has no model_index.json");
    says(error_of([&] { ModelFolder(scratch.write("file", "x")); }),
         "is a file, not a model folder");
    scratch.write("model_index.json", R"({"unet": ["diffusers", "UNet2DConditionModel"]})");
    says(error_of([&] { ModelFolder(scratch.folder()); }), "though model_index.json names it");
    scratch.write("model_index.json", R"({"../x": ["diffusers", "UNet2DConditionModel"]})");
    says(error_of([&] { ModelFolder(scratch.folder()); }), "names the component '../x'");
}

TEST_CASE("missing parts of a model are Errors with a way out") {
    const Scratch scratch;
    make_model(scratch);
    const ModelFolder model(scratch.folder());
    says(error_of([&] { model.weight_files("text_encoder"); }), "has no component 'text_encoder'");
    says(error_of([&] { model.file("vae", "vocab.json"); }), "vocab.json': no such file");
    says(error_of([&] { model.file("tokenizer", "vocab.json"); }), "has no component 'tokenizer'");
    says(error_of([&] { model.config("text_encoder"); }), "has no component 'text_encoder'");
    says(error_of([&] { model.weight_files("scheduler"); }), "holds no .safetensors file");
}

TEST_CASE("pickles are refused with the way to convert them") {
    const Scratch scratch;
    make_model(scratch);
    const ModelFolder model(scratch.folder());
    std::filesystem::remove(scratch / "vae/diffusion_pytorch_model.safetensors");
    for (const std::string name : {"model.bin", "model.ckpt", "model.pt", "model.pth"}) {
        const auto path = scratch.write(c10::str("vae/", name), "anything");
        const auto text = error_of([&] { model.weight_files("vae"); });
        says(text, name + "': is a PyTorch pickle, which can run code and is never opened");
        says(text, "safe_serialization=True");
        std::filesystem::remove(path);
    }
}

TEST_CASE("an index is followed to plain names beside it only") {
    const Scratch scratch;
    make_model(scratch);
    const ModelFolder model(scratch.folder());
    save_safetensors(scratch / "outside.safetensors", {{"x", at::ones({1})}});
    const std::string index = "unet/diffusion_pytorch_model.safetensors.index.json";
    for (const std::string place :
         {"../outside.safetensors", "/etc/passwd", "..", ".", "", "a/b.safetensors", "a\\\\b"}) {
        scratch.write(index, c10::str(R"({"weight_map": {"x": ")", place, R"("}})"));
        says(error_of([&] { model.weight_files("unet"); }), "points outside its folder");
    }
    scratch.write(index, R"({"weight_map": {"x": "gone.safetensors"}})");
    says(error_of([&] { model.weight_files("unet"); }), "the index beside it lists it");
    scratch.write(index, R"({"weight_map": {}})");
    says(error_of([&] { model.weight_files("unet"); }), "lists no files");
    scratch.write(index, R"({"weight_map": {"x": 1}})");
    says(error_of([&] { model.weight_files("unet"); }), "'weight_map.x' is a number");
}

}  // namespace weft
