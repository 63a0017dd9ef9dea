#include "diffusion/lora.h"

#include <catch2/catch.hpp>

#include <filesystem>

#include "diffusion/adapter.h"
#include "diffusion/lora_keys.h"
#include "diffusion/lora_names.h"
#include "io/files/error.h"

using namespace weft;
namespace fs = std::filesystem;

namespace {

AdapterLayer small_lora(double alpha = 0) {
    return {.kind = AdapterKind::lora,
            .tensors = {{"down", torch::tensor({1.0F, 2.0F, 3.0F}).view({1, 3})},
                        {"up", torch::tensor({1.0F, -1.0F}).view({2, 1})}},
            .alpha = alpha,
            .where = "test"};
}

struct Folder {
    fs::path path = fs::temp_directory_path() / "weft-lora-test";

    Folder() { fs::create_directories(path); }

    ~Folder() { fs::remove_all(path); }

    std::string file(const std::string& name, const NamedTensors& tensors,
                     const std::map<std::string, std::string>& metadata = {}) const {
        save_safetensors(path / name, tensors, metadata);
        return (path / name).string();
    }
};

NamedTensors kohya_layer(const std::string& layer) {
    return {{layer + ".lora_down.weight", torch::ones({1, 3})},
            {layer + ".lora_up.weight", torch::ones({2, 1})}};
}

const NamedTensors tiny_unet{{"mid_block.attentions.0.to_q.weight", torch::zeros({2, 3})},
                             {"down_blocks.1.attentions.0.to_q.weight", torch::zeros({2, 3})},
                             {"conv_in.weight", torch::zeros({2, 3})}};

}  // namespace

TEST_CASE("alpha over rank scales; 0 is the model as it was", "[lora]") {
    const torch::Tensor expected =
        torch::tensor({1.0F, 2.0F, 3.0F, -1.0F, -2.0F, -3.0F}).view({2, 3});
    CHECK(weight_delta(small_lora(), {2, 3}).equal(expected));
    CHECK(weight_delta(small_lora(3), {2, 3}).equal(3 * expected));
    const torch::Tensor weight = torch::randn({2, 3});
    CHECK(adapted_weight(weight, small_lora(), 0).equal(weight));
    CHECK(adapted_weight(weight, small_lora(), -0.5).equal(weight - 0.5 * expected));
    // A 1x1 convolution takes what a linear layer was trained with.
    CHECK(weight_delta(small_lora(), {2, 3, 1, 1}).sizes() == at::IntArrayRef({2, 3, 1, 1}));
}

TEST_CASE("DoRA gives each output row the magnitude told", "[lora]") {
    AdapterLayer layer = small_lora();
    layer.tensors["magnitude"] = torch::tensor({2.0F, 5.0F}).view({2, 1});
    const torch::Tensor weight = torch::randn({2, 3});
    const torch::Tensor rows = adapted_weight(weight, layer, 1).norm(2, 1);
    CHECK(rows[0].item<float>() == Approx(2));
    CHECK(rows[1].item<float>() == Approx(5));
    CHECK(adapted_weight(weight, layer, 0).equal(weight));
    layer.tensors["magnitude"] = torch::tensor({2.0F, 5.0F, 1.0F}).view({1, 3});
    CHECK(adapted_weight(weight, layer, 1).norm(2, 0)[1].item<float>() == Approx(5));
    layer.tensors["magnitude"] = torch::ones({4});
    CHECK_THROWS_AS(adapted_weight(weight, layer, 1), Error);
}

TEST_CASE("tensors that do not fit are told with the layer", "[lora]") {
    CHECK_THROWS_WITH(weight_delta(small_lora(), {2, 4}), Catch::Contains("'test'"));
    AdapterLayer layer = small_lora();
    layer.tensors["up"] = torch::ones({2, 2});
    CHECK_THROWS_WITH(weight_delta(layer, {2, 3}), Catch::Contains("do not fit each other"));
    layer.tensors.erase("up");
    CHECK_THROWS_WITH(weight_delta(layer, {2, 3}), Catch::Contains("'up'"));
    const AdapterLayer huge{
        .kind = AdapterKind::lokr,
        .tensors = {{"lokr_w1", torch::ones({1 << 14, 8})}, {"lokr_w2", torch::ones({1 << 14, 8})}},
        .where = "test"};
    CHECK_THROWS_AS(weight_delta(huge, {2, 3}), Error);
    layer.tensors = {{"up", torch::ones({1 << 20, 1})}, {"down", torch::ones({1, 1 << 20})}};
    CHECK_THROWS_WITH(weight_delta(layer, {2, 3}), Catch::Contains("layer of 6"));
}

TEST_CASE("keys of every layout name component, layer and role", "[lora]") {
    const auto reads = [](const std::string& key) {
        const auto found = parse_adapter_key(key);
        return found ? found->component + " " + found->layer + " " + found->role : "";
    };
    CHECK(reads("lora_unet_mid_block_attn1_to_q.lora_up.weight") == "unet mid_block_attn1_to_q up");
    CHECK(reads("lora_te2_text_model_fc1.alpha") == "text_encoder_2 text_model_fc1 alpha");
    CHECK(reads("unet.mid_block.attn1.processor.to_out_lora.down.weight") ==
          "unet mid_block.attn1.to_out.0 down");
    CHECK(reads("text_encoder.text_model.self_attn.to_k_lora.up.weight") ==
          "text_encoder text_model.self_attn.k_proj up");
    CHECK(reads("base_model.model.text_model.fc1.lora_A.default.weight") ==
          "text_encoder text_model.fc1 down");
    CHECK(reads("unet.mid_block.to_q.lora_magnitude_vector") == "unet mid_block.to_q magnitude");
    CHECK(reads("lora_unet_conv_in.lokr_w2_b") == "unet conv_in lokr_w2_b");
    CHECK(reads("model.diffusion_model.input_blocks.0.0.weight").empty());
    CHECK(reads(".alpha").empty());
    CHECK(reads("emb_params").empty());
}

TEST_CASE("layers have their CompVis names", "[lora]") {
    // Stable Diffusion 1.5 and its file in the original layout: two residual blocks a level.
    const auto name = [](const std::string& layer, bool attends = true) {
        return compvis_name(layer, 2, attends);
    };
    CHECK(name("conv_in") == "input_blocks.0.0");
    CHECK(name("down_blocks.0.resnets.0.conv1") == "input_blocks.1.0.in_layers.2");
    CHECK(name("down_blocks.0.downsamplers.0.conv") == "input_blocks.3.0.op");
    CHECK(name("down_blocks.2.attentions.1.proj_in") == "input_blocks.8.1.proj_in");
    CHECK(name("mid_block.resnets.1.conv2") == "middle_block.2.out_layers.3");
    CHECK(name("mid_block.attentions.0.proj_out") == "middle_block.1.proj_out");
    CHECK(name("up_blocks.0.upsamplers.0.conv", false) == "output_blocks.2.1.conv");
    CHECK(name("up_blocks.1.upsamplers.0.conv") == "output_blocks.5.2.conv");
    CHECK(name("up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_k") ==
          "output_blocks.11.1.transformer_blocks.0.attn2.to_k");
    CHECK(name("conv_out") == "out.2");
    CHECK(name("down_blocks.x.resnets.0.conv1").empty());
}

TEST_CASE("a LoRA is chosen by file, weight and parts", "[lora]") {
    const Folder folder;
    const std::string file = folder.file("a.safetensors", kohya_layer("lora_unet_conv_in"));
    CHECK(parse_lora(file) == LoraChoice{.file = file});
    CHECK(parse_lora(file + ":-0.5").weight == -0.5);
    const LoraChoice choice = parse_lora(file + ":0.8:mid=0.5,up.1=2,text.2=0");
    CHECK(choice.weight == 0.8);
    CHECK(choice.weight_of("unet", "conv_in") == 0.8);
    CHECK(choice.weight_of("unet", "mid_block.resnets.0.conv1") == 0.5);
    CHECK(choice.weight_of("unet", "up_blocks.1.resnets.0.conv1") == 2);
    CHECK(choice.weight_of("unet", "up_blocks.10.resnets.0.conv1") == 0.8);
    CHECK(choice.weight_of("text_encoder", "fc1") == 0.8);
    CHECK(choice.weight_of("text_encoder_2", "fc1") == 0);
    CHECK_THROWS_AS(parse_lora("/nowhere.safetensors:1"), Error);
    CHECK_THROWS_AS(parse_lora(file + ":heavy"), UsageError);
    CHECK_THROWS_AS(parse_lora(file + ":11"), UsageError);
    CHECK_THROWS_WITH(parse_lora(file + ":1:middle=1"), Catch::Contains("'middle'"));
    CHECK_THROWS_AS(parse_lora(file + ":1:mid=x"), UsageError);
    // A colon may be part of the file's name.
    const std::string odd = folder.file("b:0.5.safetensors", kohya_layer("lora_unet_conv_in"));
    CHECK(parse_lora(odd + ":2") == LoraChoice{.file = odd, .weight = 2});
}

TEST_CASE("merging changes the layers named and tells the rest", "[lora]") {
    const Folder folder;
    NamedTensors tensors = kohya_layer("lora_unet_mid_block_attentions_0_to_q");
    for (const std::string layer : {"lora_unet_nowhere", "lora_te2_text_model_fc1"})
        for (const auto& entry : kohya_layer(layer)) tensors.push_back(entry);
    tensors.emplace_back("mystery", torch::ones({1}));
    const std::string file = folder.file("a.safetensors", tensors);
    Weights weights = Weights::of(tiny_unet, "tiny");
    Adapters adapters({parse_lora(file + ":0.5:down.7=1"), parse_lora(file + ":2")});
    adapters.apply_to("unet", weights);
    CHECK(weights.at("mid_block.attentions.0.to_q.weight", {2, 3}).equal(torch::full({2, 3}, 2.5)));
    CHECK(weights.at("conv_in.weight", {2, 3}).equal(torch::zeros({2, 3})));
    const std::vector<std::string> notes = adapters.finish();
    std::string all;
    for (const std::string& note : notes) all += note + "\n";
    for (const char* part :
         {"'mystery'", "1 of 2 layers of unet", "'nowhere'", "text_encoder_2", "'down.7'"})
        CHECK_THAT(all, Catch::Contains(part));
}

TEST_CASE("a LoRA of weight 0 and one that fits nothing", "[lora]") {
    const Folder folder;
    const std::string file =
        folder.file("a.safetensors", kohya_layer("lora_unet_down_blocks_1_attentions_0_to_q"));
    Weights weights = Weights::of(tiny_unet, "tiny");
    Adapters none({parse_lora(file + ":0")});
    none.apply_to("unet", weights);
    CHECK(none.finish().empty());
    CHECK(weights.at("down_blocks.1.attentions.0.to_q.weight", {2, 3}).equal(torch::zeros({2, 3})));
    Weights text = Weights::of({{"text_model.fc1.weight", torch::zeros({2, 3})}}, "tiny");
    Adapters misfit({parse_lora(file)});
    misfit.apply_to("text_encoder", text);
    CHECK_THROWS_WITH(misfit.finish(), Catch::Contains("another family"));
}

TEST_CASE("adapter files are described, and what is none is refused", "[lora]") {
    const Folder folder;
    NamedTensors tensors =
        kohya_layer("lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q");
    for (const auto& entry : kohya_layer("lora_te_text_model_encoder_layers_0_mlp_fc1"))
        tensors.push_back(entry);
    tensors.emplace_back("lora_te_text_model_encoder_layers_0_mlp_fc1.alpha", torch::tensor(0.5F));
    tensors.emplace_back("mystery", torch::ones({1}));
    const std::string file =
        folder.file("a.safetensors", tensors, {{"ss_base_model_version", "sd_v1"}});
    const AdapterInfo info = describe_adapter(file);
    CHECK(info.kinds == std::vector<std::string>{"LoRA"});
    CHECK(info.layouts == std::vector<std::string>{"kohya"});
    CHECK(info.largest_rank == 1);
    CHECK(info.smallest_scale == 0.5);
    CHECK(info.largest_scale == 1);
    CHECK(info.layers == std::map<std::string, int64_t>{{"text_encoder", 1}, {"unet", 1}});
    CHECK(info.targets == std::map<std::string, int64_t>{{"attn1.to_q", 1}, {"mlp.fc1", 1}});
    CHECK(info.unknown_keys == std::vector<std::string>{"mystery"});
    CHECK(info.base_model == "sd_v1");
    CHECK_THROWS_WITH(describe_adapter(folder.file("m.safetensors", tiny_unet)),
                      Catch::Contains("holds no LoRA"));
    tensors.emplace_back("lora_unet_conv_in.alpha", torch::ones({2}));
    CHECK_THROWS_WITH(describe_adapter(folder.file("b.safetensors", tensors)),
                      Catch::Contains("alpha"));
}
