#include "diffusion/checkpoint_config.h"

#include <algorithm>
#include <utility>

#include "diffusion/clip.h"
#include "diffusion/json_text.h"
#include "diffusion/unet_config.h"
#include "io/files/error.h"
#include "io/files/text.h"

namespace weft {
namespace {

using Shape = std::vector<int64_t>;

// Head width of all networks but Stable Diffusion 1's, which has 8 heads everywhere.
constexpr int64_t head_width = 64;
constexpr int64_t sd1_heads = 8;
constexpr int64_t latent_channels = 4;
constexpr int64_t sgm_number_width = 256;  // sinusoid of each of SDXL's sizes

// The shapes of one component.
class Shapes {
  public:
    Shapes(const CheckpointFacts& facts, const std::string& component) : where_(facts.where) {
        const auto found = facts.shapes.find(component);
        if (found == facts.shapes.end())
            throw Error(where_, c10::str("has no tensors of the ", component),
                        "the checkpoint is incomplete; fetch it again");
        shapes_ = &found->second;
    }

    bool has(const std::string& name) const { return shapes_->contains(name); }

    // Size of dimension `at` of a tensor with `dimensions` of them.
    int64_t size(const std::string& name, size_t at, size_t dimensions) const {
        const auto found = shapes_->find(name);
        if (found == shapes_->end())
            throw Error(where_, c10::str("has no tensor for ", quoted_name(name)),
                        "the checkpoint is incomplete; fetch it again");
        if (found->second.size() != dimensions || found->second[at] < 1)
            throw Error(where_,
                        c10::str("the tensor for ", quoted_name(name), " has ",
                                 found->second.size(), " dimensions, expected ", dimensions));
        return found->second[at];
    }

    size_t dimensions(const std::string& name) const {
        return has(name) ? shapes_->at(name).size() : 0;
    }

    // How many of PREFIX0SUFFIX, PREFIX1SUFFIX, ... there are in a row.
    int64_t count(const std::string& prefix, const std::string& suffix) const {
        int64_t n = 0;
        while (has(c10::str(prefix, n, suffix))) ++n;
        return n;
    }

  private:
    std::string where_;
    const std::map<std::string, Shape>* shapes_ = nullptr;
};

// Unet

int64_t transformer_depth(const Shapes& shapes, const std::string& attention) {
    return shapes.count(attention + ".transformer_blocks.", ".attn2.to_k.weight");
}

// A level whose self-attention sees the text instead of itself.
bool only_sees_text(const Shapes& shapes, const std::string& attention, int64_t context,
                    int64_t channels) {
    const std::string key = attention + ".transformer_blocks.0.attn1.to_k.weight";
    return context != channels && shapes.size(key, 1, 2) == context;
}

void add_unet_level(const Shapes& shapes, int64_t level, UnetConfig& config) {
    const std::string place = c10::str("down_blocks.", level);
    const std::string attention = place + ".attentions.0";
    const int64_t channels = shapes.size(place + ".resnets.0.conv2.weight", 0, 4);
    const int64_t depth = transformer_depth(shapes, attention);
    const bool attends = depth > 0;
    config.block_out_channels.push_back(channels);
    config.down_block_types.emplace_back(attends ? "CrossAttnDownBlock2D" : "DownBlock2D");
    config.up_block_types.insert(config.up_block_types.begin(),
                                 attends ? "CrossAttnUpBlock2D" : "UpBlock2D");
    config.transformer_layers_per_block.push_back(std::max<int64_t>(depth, 1));
    const int64_t context = config.cross_attention_dim.front();
    config.only_cross_attention.push_back(attends &&
                                          only_sees_text(shapes, attention, context, channels));
}

std::vector<int64_t> unet_heads(const UnetConfig& config, bool is_upscaler) {
    if (!config.use_linear_projection || is_upscaler)
        return {sd1_heads};
    std::vector<int64_t> heads;
    for (const int64_t channels : config.block_out_channels)
        heads.push_back(std::max<int64_t>(channels / head_width, 1));
    return heads;
}

void read_unet_conditions(const Shapes& shapes, const CheckpointFacts& facts, UnetConfig& config) {
    if (shapes.has("time_embedding.cond_proj.weight"))
        config.time_cond_proj_dim = shapes.size("time_embedding.cond_proj.weight", 1, 2);
    if (shapes.has("class_embedding.weight"))
        config.num_class_embeds = shapes.size("class_embedding.weight", 0, 2);
    if (!shapes.has("add_embedding.linear_1.weight"))
        return;
    const CheckpointKind kind = facts.layout.kind;
    if (kind != CheckpointKind::sdxl && kind != CheckpointKind::sdxl_refiner)
        throw Error(facts.where, "is told a picture (unCLIP), which weft does not run",
                    "use the plain Stable Diffusion checkpoint");
    config.addition_embed_type = "text_time";
    config.addition_time_embed_dim = sgm_number_width;
    config.projection_class_embeddings_input_dim =
        shapes.size("add_embedding.linear_1.weight", 1, 2);
}

bool predicts_v(const CheckpointFacts& facts);

// Latents it was trained at: 768 px for SD 2's v models, 1024 for SDXL, 512 for the others.
int64_t sample_size(const CheckpointFacts& facts) {
    switch (facts.layout.kind) {
        case CheckpointKind::sdxl:
        case CheckpointKind::sdxl_refiner:
            return 128;
        case CheckpointKind::sd2:
            if (facts.layout.label_table)
                return 128;
            return predicts_v(facts) ? 96 : 64;
        case CheckpointKind::sd1:
            break;
    }
    return 64;
}

UnetConfig unet_config(const CheckpointFacts& facts) {
    const Shapes shapes(facts, "unet");
    UnetConfig config;
    config.sample_size = sample_size(facts);
    config.in_channels = shapes.size("conv_in.weight", 1, 4);
    config.out_channels = shapes.size("conv_out.weight", 0, 4);
    config.layers_per_block = {facts.layout.unet_layers};
    const std::string middle = "mid_block.attentions.0";
    const std::string to_k = middle + ".transformer_blocks.0.attn2.to_k.weight";
    config.cross_attention_dim = {shapes.size(to_k, 1, 2)};
    config.use_linear_projection = shapes.dimensions(middle + ".proj_in.weight") == 2;
    for (auto* list : {&config.block_out_channels, &config.transformer_layers_per_block})
        list->clear();
    config.down_block_types.clear();
    config.up_block_types.clear();
    config.only_cross_attention.clear();
    const int64_t levels = shapes.count("down_blocks.", ".resnets.0.conv2.weight");
    for (int64_t level = 0; level < levels; ++level) add_unet_level(shapes, level, config);
    if (levels == 0)
        throw Error(facts.where, "has no levels in its unet");
    // The middle is as deep as the last level, or what is written for that level where it has none.
    config.transformer_layers_per_block.back() = transformer_depth(shapes, middle);
    config.attention_head_dim = unet_heads(config, facts.layout.label_table);
    read_unet_conditions(shapes, facts, config);
    return config;
}

// Autoencoder

double scaling_factor(const CheckpointLayout& layout) {
    if (layout.kind == CheckpointKind::sdxl || layout.kind == CheckpointKind::sdxl_refiner)
        return 0.13025;
    return layout.label_table ? 0.08333 : 0.18215;
}

std::string vae_config_json(const CheckpointFacts& facts) {
    const Shapes shapes(facts, "vae");
    const auto levels = static_cast<size_t>(facts.layout.vae_levels);
    std::vector<int64_t> channels;
    for (size_t level = 0; level < levels; ++level)
        channels.push_back(
            shapes.size(c10::str("encoder.down_blocks.", level, ".resnets.0.conv2.weight"), 0, 4));
    const bool is_xl = facts.layout.kind == CheckpointKind::sdxl ||
                       facts.layout.kind == CheckpointKind::sdxl_refiner;
    const auto repeated = [&](const char* name) {
        return json_list(std::vector<std::string>(levels, name));
    };
    return json_object({
        {"_class_name", json("AutoencoderKL")},
        {"act_fn", json("silu")},
        {"block_out_channels", json_list(channels)},
        {"down_block_types", repeated("DownEncoderBlock2D")},
        {"force_upcast", json(is_xl)},
        {"in_channels", json(shapes.size("encoder.conv_in.weight", 1, 4))},
        {"latent_channels", json(shapes.size("decoder.conv_in.weight", 1, 4))},
        {"layers_per_block", json(shapes.count("encoder.down_blocks.0.resnets.", ".conv2.weight"))},
        {"norm_num_groups", json(int64_t{32})},
        {"out_channels", json(shapes.size("decoder.conv_out.weight", 0, 4))},
        {"sample_size", json(sample_size(facts) << (levels - 1))},
        {"scaling_factor", json(scaling_factor(facts.layout))},
        {"up_block_types", repeated("UpDecoderBlock2D")},
        {"use_post_quant_conv", json(shapes.has("post_quant_conv.weight"))},
        {"use_quant_conv", json(shapes.has("quant_conv.weight"))},
    });
}

// Text

bool is_open_clip(const CheckpointLayout& layout, const std::string& component) {
    return layout.kind == CheckpointKind::sd2 || component == "text_encoder_2";
}

std::string text_config_json(const CheckpointFacts& facts, const std::string& component) {
    const Shapes shapes(facts, component);
    const std::string embedding = "text_model.embeddings.";
    const std::string layers = "text_model.encoder.layers.";
    ClipTextConfig config;
    config.vocab_size = shapes.size(embedding + "token_embedding.weight", 0, 2);
    config.hidden_size = shapes.size(embedding + "token_embedding.weight", 1, 2);
    config.max_position_embeddings = shapes.size(embedding + "position_embedding.weight", 0, 2);
    config.num_hidden_layers = shapes.count(layers, ".mlp.fc1.weight");
    config.intermediate_size = shapes.size(layers + "0.mlp.fc1.weight", 0, 2);
    config.num_attention_heads = std::max<int64_t>(config.hidden_size / head_width, 1);
    config.hidden_act = is_open_clip(facts.layout, component) ? "gelu" : "quick_gelu";
    config.with_projection = shapes.has("text_projection.weight");
    config.projection_dim =
        config.with_projection ? shapes.size("text_projection.weight", 0, 2) : config.hidden_size;
    config.eos_token_id = config.vocab_size - 1;
    config.bos_token_id = config.vocab_size - 2;
    return clip_text_config_json(config);
}

// Schedule

// What the checkpoint says, or else the known rule: SD 2.0 and 2.1 at 768 px predict v; their
// 512 px base was trained for 875,000 steps, and inpainting and depth models started from it.
bool predicts_v(const CheckpointFacts& facts) {
    if (!facts.prediction_type.empty())
        return facts.prediction_type.starts_with("v");
    if (facts.v_key || facts.layout.label_table)
        return true;
    constexpr int64_t base_steps = 875'000;
    const Shapes shapes(facts, "unet");
    return facts.layout.kind == CheckpointKind::sd2 &&
           shapes.size("conv_in.weight", 1, 4) == latent_channels &&
           facts.global_step != base_steps;
}

std::string scheduler_config_json(const CheckpointFacts& facts, const std::string& component) {
    const bool is_upscaler = facts.layout.label_table;
    const bool low_res = component == "low_res_scheduler";
    const bool v = !low_res && predicts_v(facts);
    const bool zero = !low_res && facts.zero_terminal_snr;
    return json_object({
        {"_class_name", json(low_res ? "DDPMScheduler" : "DDIMScheduler")},
        {"beta_end", json(is_upscaler ? 0.02 : 0.012)},
        {"beta_schedule", json("scaled_linear")},
        {"beta_start", json(is_upscaler ? 0.0001 : 0.00085)},
        {"clip_sample", json(low_res)},
        {"num_train_timesteps", json(int64_t{1000})},
        {"prediction_type", json(v ? "v_prediction" : "epsilon")},
        {"rescale_betas_zero_snr", json(zero)},
        {"set_alpha_to_one", json(false)},
        {"steps_offset", json(int64_t{low_res ? 0 : 1})},
        {"timestep_spacing", json(zero ? "trailing" : "leading")},
    });
}

}  // namespace

namespace {

// diffusers' pipeline for such a model.
std::string pipeline_class(const CheckpointFacts& facts) {
    if (facts.layout.label_table)
        return "StableDiffusionUpscalePipeline";
    if (facts.layout.kind == CheckpointKind::sdxl_refiner)
        return "StableDiffusionXLImg2ImgPipeline";
    const char* xl = facts.layout.kind == CheckpointKind::sdxl ? "XL" : "";
    switch (Shapes(facts, "unet").size("conv_in.weight", 1, 4)) {
        case 2 * latent_channels + 1:
            return c10::str("StableDiffusion", xl, "InpaintPipeline");
        case 2 * latent_channels:
            return c10::str("StableDiffusion", xl, "InstructPix2PixPipeline");
        case latent_channels + 1:
            return "StableDiffusionDepth2ImgPipeline";
        default:
            return c10::str("StableDiffusion", xl, "Pipeline");
    }
}

}  // namespace

std::string checkpoint_config_json(const CheckpointFacts& facts, const std::string& component) {
    if (component == "unet")
        return unet_config_json(unet_config(facts));
    if (component == "vae")
        return vae_config_json(facts);
    if (component.starts_with("text_encoder"))
        return text_config_json(facts, component);
    if (component.ends_with("scheduler"))
        return scheduler_config_json(facts, component);
    throw Error(facts.where, c10::str("has no component ", quoted_name(component)),
                "this kind of model is not what the command needs");
}

std::vector<std::string> checkpoint_components(const CheckpointFacts& facts) {
    std::vector<std::string> out{"scheduler"};
    for (const char* number : {"", "_2"}) {
        if (facts.shapes.contains(c10::str("text_encoder", number))) {
            out.push_back(c10::str("text_encoder", number));
            out.push_back(c10::str("tokenizer", number));
        }
    }
    out.insert(out.end(), {"unet", "vae"});
    if (facts.layout.label_table)
        out.emplace_back("low_res_scheduler");
    return out;
}

std::string checkpoint_index_json(const CheckpointFacts& facts) {
    const bool is_refiner = facts.layout.kind == CheckpointKind::sdxl_refiner;
    const bool is_xl = is_refiner || facts.layout.kind == CheckpointKind::sdxl;
    std::vector<std::pair<std::string, std::string>> entries{
        {"_class_name", json(pipeline_class(facts))}};
    const auto add = [&](const std::string& component, const char* library, const char* name) {
        entries.emplace_back(component, json_list(std::vector<std::string>{library, name}));
    };
    for (const std::string& component : checkpoint_components(facts)) {
        if (component == "unet")
            add(component, "diffusers", "UNet2DConditionModel");
        else if (component == "vae")
            add(component, "diffusers", "AutoencoderKL");
        else if (component.starts_with("tokenizer"))
            add(component, "transformers", "CLIPTokenizer");
        else if (component.starts_with("text_encoder"))
            add(component, "transformers",
                component == "text_encoder_2" ? "CLIPTextModelWithProjection" : "CLIPTextModel");
        else
            add(component, "diffusers",
                component == "scheduler" ? "DDIMScheduler" : "DDPMScheduler");
    }
    if (is_xl)
        entries.emplace_back("force_zeros_for_empty_prompt", json(!is_refiner));
    if (is_refiner)
        entries.emplace_back("requires_aesthetics_score", json(true));
    return json_object(entries);
}

}  // namespace weft
