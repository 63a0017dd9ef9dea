#include "diffusion/low_rank.h"

#include <catch2/catch.hpp>

#include <filesystem>

#include "diffusion/adapter.h"
#include "diffusion/layers.h"
#include "diffusion/model.h"
#include "io/files/error.h"
#include "tests/fixtures/tiny_model.h"

using namespace weft;
namespace fs = std::filesystem;

namespace {

const fs::path parity = fs::path(WEFT_SOURCE_DIR) / "tests/parity";

std::shared_ptr<const DiffusionModel> sd_with(const std::vector<std::string>& loras,
                                              LoraMode mode) {
    ModelOptions options;
    for (const std::string& text : loras) {
        options.loras.push_back(parse_lora((parity / "lora" / text).string()));
        options.loras.back().mode = mode;
    }
    return DiffusionModel::load(parity / "models/sd", {.device = "cpu", .dtype = "f32"}, options);
}

const std::string unet_lora = "kohya.safetensors";
const std::string text_lora = "text_kohya.safetensors";

// Three frames of one prompt under guidance.
torch::Tensor denoised(const DiffusionModel& model, const torch::Tensor& strengths = {}) {
    const Denoise denoise = model.denoise({.text = model.encode_text({"a ball"}, strengths),
                                           .negative = model.encode_negative({"snow"}, strengths),
                                           .guidance = 3.0});
    const torch::Tensor x = torch::linspace(-1, 1, 192).view({1, 4, 6, 8}).repeat({3, 1, 1, 1});
    return denoise(x, model.schedule().level(300));
}

double difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().max().item<double>();
}

// A linear layer 3 -> 2 with two LoRAs of rank 1 and 2 beside it; the second changes the bias.
Weights layer_with_loras() {
    Weights weights = Weights::of({{"weight", torch::tensor({{1.F, 0.F, 0.F}, {0.F, 1.F, 0.F}})},
                                   {"bias", torch::tensor({0.5F, -0.5F})}},
                                  "test");
    weights.add(LowRank::down_name,
                torch::tensor({{1.F, 1.F, 1.F}, {1.F, 0.F, 0.F}, {0.F, 0.F, 1.F}}));
    weights.add(LowRank::up_name, torch::tensor({{1.F, 2.F, 0.F}, {0.F, 0.F, 3.F}}));
    weights.add(LowRank::lora_name, torch::tensor({0, 1, 1}, torch::kInt64));
    weights.add(LowRank::bias_name, torch::tensor({{10.F, 20.F}}));
    weights.add(LowRank::bias_lora_name, torch::tensor({1}, torch::kInt64));
    return weights;
}

}  // namespace

TEST_CASE("a branch adds up (s down x) and its share of the bias", "[lora]") {
    const torch::NoGradGuard inference;
    const Linear layer(layer_with_loras(), 3, 2);
    const torch::Tensor x = torch::tensor({{{1.F, 2.F, 3.F}}, {{1.F, 2.F, 3.F}}});  // [2, 1, 3]
    const torch::Tensor plain = torch::tensor({1.5F, 1.5F});
    const torch::Tensor first = torch::tensor({6.F, 0.F}), second = torch::tensor({12.F, 29.F});
    CHECK(layer(x)[1][0].equal(plain + first + second));
    {
        const LoraStrengths by_row(torch::tensor({{1.F, 0.F}, {-2.F, 0.5F}}));
        const torch::Tensor y = layer(x);
        CHECK(y[0][0].equal(plain + first));
        CHECK(y[1][0].equal(plain - 2 * first + 0.5 * second));
        // One row in, as many out as there are strengths: the time embedding's case.
        CHECK(layer(x.narrow(0, 0, 1)).equal(y));
        {
            const LoraStrengths off(torch::zeros({1, 2}));
            CHECK(layer(x)[0][0].equal(plain));
        }
        CHECK(layer(x).equal(y));
        CHECK_THROWS_WITH(layer(torch::ones({3, 1, 3})), Catch::Contains("LoRA strengths"));
    }
    CHECK(layer(x)[1][0].equal(plain + first + second));
    const torch::Tensor added = torch::full({2, 1, 2}, 7.F);
    CHECK(layer(x, added).equal(layer(x) + 7));
}

TEST_CASE("unmerged LoRAs equal merged ones, whole and at every strength", "[lora]") {
    const auto merged = sd_with({unet_lora + ":0.8", text_lora}, LoraMode::merged);
    const auto beside = sd_with({unet_lora + ":0.8", text_lora}, LoraMode::varying);
    CHECK(difference(denoised(*beside), denoised(*merged)) <= 1e-4);
    const torch::Tensor half = torch::tensor({{0.5F, 0.25F}});
    const auto weak = sd_with({unet_lora + ":0.4", text_lora + ":0.25"}, LoraMode::merged);
    CHECK(difference(denoised(*beside, half), denoised(*weak)) <= 1e-4);
    const auto plain = sd_with({}, LoraMode::merged);
    CHECK(difference(denoised(*beside, torch::zeros({1, 2})), denoised(*plain)) <= 1e-5);
    CHECK(difference(denoised(*merged), denoised(*plain)) > 0.01);
    CHECK(beside->notes().empty());
}

TEST_CASE("each frame has the LoRA strengths of its own moment", "[lora]") {
    const auto model = sd_with({unet_lora, text_lora}, LoraMode::varying);
    const torch::Tensor moments = torch::tensor({{0.F, 1.F}, {0.5F, 0.F}, {1.F, 1.F}});
    TextCondition text = model->encode_text({"a ball", "a ball", "a ball"}, moments);
    TextCondition negative = model->encode_negative({"snow", "snow", "snow"}, moments);
    const torch::Tensor x = torch::linspace(-1, 1, 192).view({1, 4, 6, 8}).repeat({3, 1, 1, 1});
    const torch::Tensor together = model->denoise(
        {.text = text, .negative = negative, .guidance = 3.0})(x, model->schedule().level(300));
    for (int64_t i = 0; i < 3; ++i)
        CHECK(difference(together[i], denoised(*model, moments.narrow(0, i, 1))[i]) <= 1e-5);
    CHECK(difference(together[0], together[2]) > 1e-3);
    // A long prompt beside a short negative one: empty chunks have their row's strengths too.
    std::string lengthy;
    for (int i = 0; i < 100; ++i) lengthy += "ball ";
    text = model->encode_text({lengthy, lengthy, lengthy}, moments);
    const torch::Tensor filled = model->denoise(
        {.text = text, .negative = negative, .guidance = 3.0})(x, model->schedule().level(300));
    const torch::Tensor row = moments.narrow(0, 1, 1);
    const torch::Tensor alone = model->denoise({.text = model->encode_text({lengthy}, row),
                                                .negative = model->encode_negative({"snow"}, row),
                                                .guidance = 3.0})(x, model->schedule().level(300));
    CHECK(difference(filled[1], alone[1]) <= 1e-5);
}

TEST_CASE("what has no two factors is merged and told, or refused", "[lora]") {
    for (const std::string file :
         {"loha.safetensors", "lokr.safetensors", "dora_kohya.safetensors"}) {
        const auto model = sd_with({file}, LoraMode::unmerged);
        REQUIRE(model->notes().size() == 1);
        CHECK_THAT(model->notes().front(), Catch::Contains("were merged"));
        CHECK_THROWS_WITH(sd_with({file}, LoraMode::varying), Catch::Contains("over time"));
    }
}

TEST_CASE("a LoRA that does not fit its layer is refused beside it too", "[lora]") {
    const TemporaryFolder folder;
    const fs::path file = folder / "a.safetensors";
    save_safetensors(file, {{"lora_unet_conv_in.lora_down.weight", torch::ones({2, 5})},
                            {"lora_unet_conv_in.lora_up.weight", torch::ones({8, 2})}});
    LoraChoice choice = parse_lora(file.string());
    choice.mode = LoraMode::unmerged;
    Weights weights = Weights::of({{"conv_in.weight", torch::zeros({8, 4, 3, 3})}}, "tiny");
    Adapters adapters({choice});
    CHECK_THROWS_WITH(adapters.apply_to("unet", weights), Catch::Contains("conv_in"));
}
