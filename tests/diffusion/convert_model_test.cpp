#include "diffusion/convert_model.h"

#include <c10/util/StringUtil.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "diffusion/autoencoder_kl.h"
#include "diffusion/checkpoint.h"
#include "diffusion/clip.h"
#include "diffusion/clip_vocabulary.h"
#include "diffusion/model.h"
#include "diffusion/unet.h"
#include "io/files/error.h"
#include "io/files/safetensors.h"

using namespace weft;
namespace fs = std::filesystem;

namespace {

constexpr const char* vocabulary =
    "\"bpe_simple_vocab_16e6.txt#version: 0.2\nr e\nre d</w>\nb a\nba l\nbal l</w>\n";
constexpr int64_t tokens = 512 + 5 + 2;

void write(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
}

// Random weights of unit gain, none left at zero, exact in f16.
NamedTensors randomised(const Weights& made) {
    NamedTensors out;
    torch::manual_seed(7);
    for (const auto& [name, tensor] : made.tensors()) {
        const auto fan_in = static_cast<double>(tensor.numel() / tensor.size(0));
        const torch::Tensor noise = torch::randn(tensor.sizes());
        const bool is_norm_weight = tensor.dim() == 1 && name.ends_with("weight");
        const torch::Tensor value =
            tensor.dim() > 1 ? noise / std::sqrt(fan_in) : noise * 0.1 + (is_norm_weight ? 1 : 0);
        out.emplace_back(name, value.to(torch::kFloat16).to(torch::kFloat32));
    }
    return out;
}

template <typename Network, typename NetworkConfig>
void write_component(const fs::path& folder, const NetworkConfig& config, const std::string& json,
                     const std::string& stem) {
    const Weights weights = Weights::create(1);
    const Network network(config, weights);
    write(folder / "config.json", json);
    save_sharded(folder, stem, randomised(weights), int64_t{1} << 30U);
}

UnetConfig unet_config(bool xl) {
    UnetConfig config;
    config.sample_size = xl ? 128 : 64;
    config.block_out_channels = {64, 128};
    config.layers_per_block = {1};
    config.down_block_types = {xl ? "DownBlock2D" : "CrossAttnDownBlock2D",
                               xl ? "CrossAttnDownBlock2D" : "DownBlock2D"};
    config.up_block_types = {xl ? "CrossAttnUpBlock2D" : "UpBlock2D",
                             xl ? "UpBlock2D" : "CrossAttnUpBlock2D"};
    config.cross_attention_dim = {xl ? 128 : 64};
    config.use_linear_projection = xl;
    if (!xl)
        return config;
    config.attention_head_dim = {1, 2};
    config.transformer_layers_per_block = {1, 2};
    config.addition_embed_type = "text_time";
    config.addition_time_embed_dim = 256;
    config.projection_class_embeddings_input_dim = 32 + 6 * 256;
    return config;
}

ClipTextConfig text_config(bool open_clip) {
    ClipTextConfig config;
    config.vocab_size = tokens;
    config.hidden_size = 64;
    config.intermediate_size = 96;
    config.num_hidden_layers = 2;
    config.num_attention_heads = 1;
    config.hidden_act = open_clip ? "gelu" : "quick_gelu";
    config.projection_dim = open_clip ? 32 : 64;
    config.with_projection = open_clip;
    config.eos_token_id = tokens - 1;
    config.bos_token_id = tokens - 2;
    return config;
}

std::string vae_config(bool xl) {
    return c10::str(R"({"_class_name": "AutoencoderKL", "block_out_channels": [32, 32],
        "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"],
        "layers_per_block": 1, "latent_channels": 4, "norm_num_groups": 32,
        "scaling_factor": )",
                    xl ? "0.13025}" : "0.18215}");
}

void write_text_side(const fs::path& folder, const std::string& number, bool open_clip) {
    const ClipTextConfig config = text_config(open_clip);
    write_component<ClipTextModel>(folder / ("text_encoder" + number), config,
                                   clip_text_config_json(config), "model");
    const TokenizerTexts texts = clip_vocabulary_texts(std::getenv("WEFT_VOCAB"));
    const fs::path place = folder / ("tokenizer" + number);
    write(place / "vocab.json", texts.vocab_json);
    write(place / "merges.txt", texts.merges);
    write(place / "tokenizer_config.json",
          c10::str(R"({"pad_token": ")", open_clip ? "!" : "<|endoftext|>", "\"}"));
}

// A model small enough for a test that keeps what the layouts fix: 32 norm groups, 8 heads or
// heads 64 wide, sinusoids of 256.
void write_model(const fs::path& folder, bool xl) {
    write_component<Unet>(folder / "unet", unet_config(xl), unet_config_json(unet_config(xl)),
                          "diffusion_pytorch_model");
    const Config vae = Config::parse(vae_config(xl), "vae");
    write_component<AutoencoderKL>(folder / "vae", read_autoencoder_kl_config(vae), vae_config(xl),
                                   "diffusion_pytorch_model");
    write_text_side(folder, "", false);
    if (xl)
        write_text_side(folder, "_2", true);
    write(folder / "scheduler/scheduler_config.json",
          R"({"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
              "beta_schedule": "scaled_linear", "clip_sample": false, "set_alpha_to_one": false,
              "steps_offset": 1, "timestep_spacing": "leading", "prediction_type": "epsilon"})");
    write(folder / "model_index.json",
          c10::str(R"({"_class_name": "StableDiffusionPipeline",
              "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
              "text_encoder": ["transformers", "CLIPTextModel"],
              "tokenizer": ["transformers", "CLIPTokenizer"],
              "scheduler": ["diffusers", "DDIMScheduler"])",
                   xl ? R"(, "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
              "tokenizer_2": ["transformers", "CLIPTokenizer"],
              "force_zeros_for_empty_prompt": true})"
                      : "}"));
}

// A folder of its own with the tiny vocabulary, removed at the end.
struct Place {
    fs::path path;

    Place() {
        std::string name = (fs::temp_directory_path() / "weft-convert-XXXXXX").string();
        REQUIRE(mkdtemp(name.data()) != nullptr);
        path = name;
        write(path / "vocabulary.txt", vocabulary);
        setenv("WEFT_VOCAB", (path / "vocabulary.txt").c_str(), 1);
    }

    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    ~Place() {
        unsetenv("WEFT_VOCAB");
        fs::remove_all(path);
    }
};

// What a model makes of a prompt and a picture, all parts involved.
std::vector<torch::Tensor> answers(const fs::path& path) {
    const auto model = DiffusionModel::load(path, {.device = "cpu", .dtype = "f32"});
    const TextCondition text = model->encode_text({"red ball, ball"});
    const torch::Tensor latents =
        model->encode(torch::linspace(0, 1, 3 * 16 * 16).view({1, 3, 16, 16}));
    const Denoise denoise = model->denoise({.text = text,
                                            .negative = model->encode_negative({""}),
                                            .source = {},
                                            .beside = {},
                                            .guidance = 3});
    const torch::Tensor x = torch::linspace(-1, 1, 4 * 64).view({1, 4, 8, 8});
    return {text.states, latents, denoise(x, model->schedule().level(400)), model->decode(latents)};
}

double largest_difference(const std::vector<torch::Tensor>& a,
                          const std::vector<torch::Tensor>& b) {
    double largest = 0;
    for (size_t i = 0; i < a.size(); ++i)
        largest = std::max(largest, (a[i] - b[i]).abs().max().item<double>());
    return largest;
}

}  // namespace

TEST_CASE("a folder, its single file and the folder of that are the same model", "[convert]") {
    const Place place;
    for (const bool xl : {false, true}) {
        INFO((xl ? "SDXL" : "SD 1"));
        const fs::path folder = place.path / c10::str("folder", xl);
        const fs::path file = place.path / c10::str("file", xl, ".safetensors");
        const fs::path again = place.path / c10::str("again", xl);
        write_model(folder, xl);
        const ConvertReport there = convert_model({.from = folder, .to = file});
        CHECK(there.left_out.empty());
        const ConvertReport back = convert_model({.from = file, .to = again});
        CHECK(back.left_out.empty());
        CHECK(back.bytes == there.bytes);

        const auto expected = answers(folder);
        CHECK(expected[2].abs().max().item<double>() > 0.1);
        CHECK(largest_difference(answers(file), expected) < 1e-5);
        CHECK(largest_difference(answers(again), expected) < 1e-5);
        const ModelTraits traits = DiffusionModel::read_traits(file);
        CHECK(traits.family == (xl ? "sdxl" : "sd1"));
        CHECK(DiffusionModel::read_traits(again).family == traits.family);
    }
}

TEST_CASE("an autoencoder is replaced by that of a file or a folder", "[convert]") {
    const Place place;
    const fs::path folder = place.path / "folder", file = place.path / "file.safetensors";
    write_model(folder, false);
    convert_model({.from = folder, .to = file});
    // Another autoencoder in diffusers' naming, and the same one in the original naming.
    NamedTensors other, original;
    const SafeTensors whole(file);
    for (const auto& [name, entry] : whole.entries())
        if (name.starts_with("first_stage_model."))
            original.emplace_back(name.substr(18), whole.tensor(name));
    const SafeTensors own(folder / "vae/diffusion_pytorch_model.safetensors");
    for (const auto& [name, entry] : own.entries())
        other.emplace_back(name, own.tensor(name) * 1.25);
    save_safetensors(place.path / "original.safetensors", original);
    save_safetensors(place.path / "other.safetensors", other);
    const auto latents = [&](const fs::path& vae) {
        const auto model = DiffusionModel::load(folder, {.device = "cpu", .dtype = "f32"},
                                                {.vae = vae, .loras = {}, .embeddings = {}});
        return model->encode(torch::linspace(0, 1, 3 * 16 * 16).view({1, 3, 16, 16}));
    };
    const torch::Tensor expected = latents({});
    CHECK(torch::allclose(latents(file), expected, 1e-4, 1e-5));
    CHECK(torch::allclose(latents(place.path / "original.safetensors"), expected, 1e-4, 1e-5));
    CHECK(torch::allclose(latents(folder / "vae"), expected, 1e-4, 1e-5));
    CHECK((latents(place.path / "other.safetensors") - expected).abs().max().item<float>() > 0.01);
    CHECK_THROWS_WITH(latents(folder / "unet/diffusion_pytorch_model.safetensors"),
                      Catch::Contains("no autoencoder"));
}

TEST_CASE("dtypes change the bytes, not the model", "[convert]") {
    const Place place;
    const fs::path folder = place.path / "folder";
    write_model(folder, false);
    const ConvertReport whole =
        convert_model({.from = folder, .to = place.path / "whole.safetensors"});
    const auto expected = answers(folder);
    const auto check = [&](torch::ScalarType dtype, int64_t bytes, double bound) {
        const fs::path to = place.path / c10::str(c10::toString(dtype), ".safetensors");
        const ConvertReport report = convert_model({.from = folder, .to = to, .dtype = dtype});
        CHECK(report.bytes * 4 == whole.bytes * bytes);
        CHECK(SafeTensors(to).entries().begin()->second.dtype == dtype);
        INFO(c10::toString(dtype));
        CHECK(largest_difference(answers(to), expected) <= bound);
    };
    check(torch::kFloat16, 2, 1e-5);  // the weights are exact in f16
    check(torch::kBFloat16, 2, 0.5);
    check(torch::kFloat8_e4m3fn, 1, 4);
    check(torch::kFloat8_e5m2, 1, 8);
    CHECK_THROWS_AS(stored_dtype_named("f12"), UsageError);
}

TEST_CASE("numbers that do not fit a dtype are refused, and nothing stays", "[convert]") {
    const Place place;
    save_safetensors(place.path / "a.safetensors", {{"large", torch::full({4}, 1e6)}});
    const fs::path to = place.path / "b.safetensors";
    for (const auto dtype : {torch::kFloat16, torch::kFloat8_e4m3fn})
        CHECK_THROWS_WITH(
            convert_model({.from = place.path / "a.safetensors", .to = to, .dtype = dtype}),
            Catch::Contains("large") && Catch::Contains("do not fit"));
    CHECK_FALSE(fs::exists(to));
    convert_model({.from = place.path / "a.safetensors", .to = to, .dtype = torch::kBFloat16});
    CHECK(SafeTensors(to).tensor("large").to(torch::kFloat32)[0].item<float>() ==
          Approx(1e6).epsilon(0.01));
}

TEST_CASE("weights that are no numbers are not passed on", "[convert]") {
    const Place place;
    const fs::path from = place.path / "a.safetensors", to = place.path / "b.safetensors";
    const auto bad = GENERATE(std::nanf(""), INFINITY);
    for (const auto stored : {torch::kFloat32, torch::kBFloat16, torch::kFloat8_e5m2}) {
        torch::Tensor weight = torch::ones({2, 300'000});
        weight[1][299'999] = bad;
        save_safetensors(from, {{"good", torch::ones({2})}, {"bad", weight.to(stored)}});
        for (const auto dtype : {std::optional<torch::ScalarType>(), {torch::kFloat16}})
            CHECK_THROWS_WITH(convert_model({.from = from, .to = to, .dtype = dtype}),
                              Catch::Contains("'bad'") && Catch::Contains("NaN or infinity"));
        CHECK_FALSE(fs::exists(to));
    }
}

TEST_CASE("a folder that cannot be written whole leaves nothing", "[convert]") {
    const Place place;
    const fs::path folder = place.path / "folder";
    write_model(folder, false);
    convert_model({.from = folder, .to = place.path / "file.safetensors"});
    unsetenv("WEFT_VOCAB");
    setenv("WEFT_VOCAB", (place.path / "gone.txt").c_str(), 1);
    CHECK_THROWS_WITH(
        convert_model({.from = place.path / "file.safetensors", .to = place.path / "to"}),
        Catch::Contains("WEFT_VOCAB"));
    CHECK_FALSE(fs::exists(place.path / "to"));
    CHECK(std::distance(fs::directory_iterator(place.path), {}) == 3);
    CHECK_THROWS_WITH(convert_model({.from = folder, .to = folder}), Catch::Contains("itself"));
}

TEST_CASE("CLIP's vocabulary: bytes, bytes at a word's end, merges, two markers",
          "[clip_vocabulary]") {
    const Place place;
    const Tokenizer tokenizer = read_clip_vocabulary(place.path / "vocabulary.txt", "!");
    CHECK(tokenizer.vocab_size() == tokens);
    CHECK(tokenizer.start_id() == tokens - 2);
    CHECK(tokenizer.end_id() == tokens - 1);
    CHECK(tokenizer.pad_id() == 0);
    // As in transformers, the padding token is found in texts too.
    CHECK(tokenizer.tokenize("!") == std::vector<int64_t>{0});
    // "!" is the first symbol; "red" and "ball" are merged, "bar" is "ba" and "r".
    const Tokenizer plain = read_clip_vocabulary(place.path / "vocabulary.txt", "<|endoftext|>");
    CHECK(plain.tokenize("! red ball bar") ==
          std::vector<int64_t>{256, 513, 516, 514, 256 + 'r' - '!'});
    write(place.path / "other.txt", "no title\na b\n");
    CHECK_THROWS_WITH(read_clip_vocabulary(place.path / "other.txt", "!"),
                      Catch::Contains("title"));
    write(place.path / "other.txt", "#version: 0.2\nab\n");
    CHECK_THROWS_WITH(read_clip_vocabulary(place.path / "other.txt", "!"),
                      Catch::Contains("line 2"));
    write(place.path / "other.txt", "\x1f\x8b compressed");
    CHECK_THROWS_WITH(read_clip_vocabulary(place.path / "other.txt", "!"),
                      Catch::Contains("gunzip"));
}
