#include "diffusion/train/train_unet.h"

#include <ATen/Context.h>

#include <fstream>

#include "diffusion/clip.h"
#include "diffusion/denoise.h"
#include "diffusion/train/autocast.h"
#include "diffusion/train/copy_start.h"
#include "diffusion/train/latent_pool.h"
#include "diffusion/train/sheets.h"
#include "diffusion/unet.h"
#include "io/files/model_folder.h"
#include "io/files/weights.h"

namespace weft {
namespace {

UnetConfig unet_config(const Recipe& recipe) {
    const UnetShape& shape = recipe.unet_shape;
    const auto levels = static_cast<int64_t>(shape.block_out_channels.size());
    UnetConfig config;
    config.sample_size = recipe.native_size / recipe.autoencoder_shape.patch;
    config.in_channels = 2 * recipe.autoencoder_shape.latent_channels;
    config.out_channels = recipe.autoencoder_shape.latent_channels;
    config.block_out_channels = shape.block_out_channels;
    config.layers_per_block.assign(levels, shape.layers_per_block);
    config.down_block_types.clear();
    config.up_block_types.clear();
    config.attention_head_dim.clear();
    for (int64_t level = 0; level < levels; ++level) {
        const auto attends = [&](int64_t i) { return i >= levels - shape.attention_levels; };
        config.down_block_types.emplace_back(attends(level) ? "CrossAttnDownBlock2D"
                                                            : "DownBlock2D");
        config.up_block_types.emplace_back(attends(levels - 1 - level) ? "CrossAttnUpBlock2D"
                                                                       : "UpBlock2D");
        config.attention_head_dim.push_back(
            std::max<int64_t>(1, shape.block_out_channels[level] / shape.head_width));
    }
    config.cross_attention_dim.assign(levels, recipe.text.width);
    config.norm_num_groups = 32;
    // The words steer every residual block directly: a style is first of all the same everywhere.
    config.resnet_time_scale_shift = "scale_shift";
    config.addition_embed_type = "text";
    config.addition_embed_type_num_heads = recipe.text.heads;
    return config;
}

ClipTextConfig text_config(const Recipe& recipe, const Tokenizer& tokenizer) {
    ClipTextConfig config;
    config.vocab_size = tokenizer.vocab_size();
    config.hidden_size = recipe.text.width;
    config.intermediate_size = 4 * recipe.text.width;
    config.num_hidden_layers = recipe.text.layers;
    config.num_attention_heads = recipe.text.heads;
    config.max_position_embeddings = tokenizer.max_length();
    config.hidden_act = "quick_gelu";
    config.projection_dim = recipe.text.width;
    config.bos_token_id = tokenizer.start_id();
    config.eos_token_id = tokenizer.end_id();
    return config;
}

/// The schedule of the model and of scheduler_config.json.
ScheduleConfig schedule_config() {
    ScheduleConfig config;
    config.beta_start = 0.00085;
    config.beta_end = 0.012;
    config.betas = ScheduleConfig::Betas::scaled_linear;
    config.prediction = Prediction::v;
    config.zero_terminal_snr = true;
    config.spacing = Spacing::trailing;
    config.steps_offset = 1;
    return config;
}

constexpr const char* scheduler_json = R"({
  "_class_name": "DDIMScheduler",
  "_diffusers_version": "0.37.0",
  "beta_end": 0.012,
  "beta_schedule": "scaled_linear",
  "beta_start": 0.00085,
  "clip_sample": false,
  "num_train_timesteps": 1000,
  "prediction_type": "v_prediction",
  "rescale_betas_zero_snr": true,
  "set_alpha_to_one": true,
  "steps_offset": 1,
  "timestep_spacing": "trailing"
}
)";

/// The pair of networks that learn together.
struct Networks {
    Unet unet;
    ClipTextModel text;
};

Networks make_networks(const Weights& weights, const UnetConfig& unet, const ClipTextConfig& text) {
    return {Unet(unet, weights.scope("unet")), ClipTextModel(text, weights.scope("text_encoder"))};
}

/// Text -> states for a batch; each different text is encoded once.
torch::Tensor text_states(const ClipTextModel& model, const Tokenizer& tokenizer,
                          const std::vector<std::string>& texts, torch::Device device) {
    std::vector<int64_t> ids, row_of;
    std::map<std::string, int64_t> rows;
    for (const std::string& text : texts) {
        const auto [found, is_new] = rows.emplace(text, static_cast<int64_t>(rows.size()));
        if (is_new) {
            const std::vector<int64_t> encoded = tokenizer.encode(text);
            ids.insert(ids.end(), encoded.begin(), encoded.end());
        }
        row_of.push_back(found->second);
    }
    const auto length = tokenizer.max_length();
    const torch::Tensor input = torch::tensor(ids).view({-1, length}).to(device);  // [unique, t]
    const torch::Tensor rows_on_device = torch::tensor(row_of).to(device);
    return model(input).last_hidden_state.index_select(0, rows_on_device);
}

/// One training example's noise: levels spread evenly over their distribution within a batch, so
/// that the loss of a batch says more about the model and less about the dice.
struct Draws {
    torch::Tensor t;      // [n] i64
    torch::Tensor noise;  // like the latents
};

Draws draw(const Recipe& recipe, int64_t step, const torch::Tensor& latents, int64_t train_steps) {
    const torch::Device device = latents.device();
    at::Generator generator = at::globalContext().defaultGenerator(device).clone();
    generator.set_current_seed(recipe.seed * 2654435761U + static_cast<uint64_t>(step));
    const int64_t n = latents.size(0);
    const auto options = torch::dtype(torch::kFloat32).device(device);
    const torch::Tensor offset = torch::rand({1}, generator, options);
    const torch::Tensor even = (torch::arange(n, options) + offset) / static_cast<double>(n);
    // Beyond 1 the clamp makes it the last timestep.
    const torch::Tensor rank = even / std::max(1e-6, 1 - recipe.unet.terminal_share);
    Draws draws;
    draws.t = (rank.pow(recipe.unet.timestep_power) * static_cast<double>(train_steps))
                  .to(torch::kInt64)
                  .clamp(0, train_steps - 1);
    draws.noise = torch::randn(latents.sizes(), generator, options);
    return draws;
}

class UnetTraining {
  public:
    UnetTraining(const Recipe& recipe, const std::filesystem::path& folder,
                 const TrainOptions& options, const TrainedAutoencoder& trained,
                 const Tokenizer& tokenizer)
        : recipe_(recipe),
          folder_(folder),
          options_(options),
          autoencoder_(*trained.autoencoder),
          tokenizer_(tokenizer),
          channel_weight_(trained.channel_weight.view({1, -1, 1, 1})),
          unet_config_(unet_config(recipe)),
          text_config_(text_config(recipe, tokenizer)),
          weights_(Weights::create(recipe.seed, {.device = options.placement.device})),
          networks_(make_networks(weights_, unet_config_, text_config_)),
          schedule_(schedule_config()),
          alphas_cumprod_(schedule_.alphas_cumprod().to(options.placement.device)),
          optimizer_((set_start(), weights_.tensors()), recipe.unet) {
        for (size_t i = 0; i < recipe.unet.buckets.size(); ++i) {
            const auto encode = [this](const torch::Tensor& pictures) {
                return autoencoder_.encode(pictures * 2 - 1).mean;
            };
            pools_.emplace_back(
                recipe.seed + 1000 * (i + 1), recipe.unet.buckets[i], recipe.unet,
                LatentEncoder{encode, recipe.autoencoder_shape.patch, options.placement.device});
        }
    }

    void run() {
        StageRun stage("unet", folder_ / "training", recipe_.unet, optimizer_, options_.hooks);
        BucketOrder order(recipe_.unet.buckets);
        for (int64_t skipped = 0; skipped < stage.step(); ++skipped) {
            order.next();
        }
        while (stage.goes_on()) {
            const auto [bucket, index] = order.next();
            const double loss = train_step(pools_[bucket].batch(index), stage.step());
            optimizer_.step(stage.learning_rate());
            stage.finish_step(loss);
            if (stage.sheet_due()) {
                write_sheets(c10::str("unet_", stage.step()));
            }
        }
        if (!stage.finished()) {
            stage.finish();
        }
        write_sheets("unet_final");
        save();
    }

  private:
    /// From `init` where it is given, else as a copy of the source.
    void set_start() const {
        if (options_.init.empty()) {
            start_as_copy(unet_tensors(), unet_config_);
            return;
        }
        const torch::NoGradGuard no_grad;
        const ModelFolder known(options_.init);
        const Weights unet = known.weights("unet"), text = known.weights("text_encoder");
        for (const auto& [name, tensor] : weights_.tensors()) {
            const size_t dot = name.find('.');
            const Weights& from = name.starts_with("unet.") ? unet : text;
            tensor.copy_(from.at(name.substr(dot + 1), tensor.sizes()));
        }
    }

    /// The UNet's created tensors without their prefix.
    NamedTensors unet_tensors() const {
        NamedTensors tensors;
        for (const auto& [name, tensor] : weights_.tensors()) {
            if (name.starts_with("unet.")) {
                tensors.emplace_back(name.substr(5), tensor);
            }
        }
        return tensors;
    }

    double train_step(const LatentBatch& batch, int64_t step) {
        const Draws draws = draw(recipe_, step, batch.target, schedule_.train_steps());
        const torch::Tensor alpha_squared =
            alphas_cumprod_.index_select(0, draws.t).view({-1, 1, 1, 1});
        const torch::Tensor alpha = alpha_squared.sqrt(), sigma = (1 - alpha_squared).sqrt();
        const torch::Tensor noisy = alpha * batch.target + sigma * draws.noise;
        const torch::Tensor velocity = alpha * draws.noise - sigma * batch.target;
        torch::Tensor output;
        {
            const Autocast autocast(options_.placement.device, options_.placement.dtype);
            const torch::Tensor states =
                text_states(networks_.text, tokenizer_, batch.text, options_.placement.device);
            output = networks_.unet(torch::cat({noisy, batch.source}, 1), draws.t, states);
        }
        const torch::Tensor loss =
            ((output.to(torch::kFloat32) - velocity).square() * channel_weight_).mean();
        loss.backward();
        return loss.item<double>();
    }

    /// Networks with the averaged weights, for looking and for keeping.
    Networks averaged() const {
        return make_networks(Weights::of(optimizer_.averaged(), "averaged weights",
                                         {.device = options_.placement.device}),
                             unet_config_, text_config_);
    }

    void write_sheets(const std::string& name) const {
        const torch::NoGradGuard no_grad;
        const Networks networks = averaged();
        const SheetModel model{
            .network =
                [&](const torch::Tensor& input, double t, const TextCondition& text) {
                    const Autocast autocast(options_.placement.device, options_.placement.dtype);
                    return networks
                        .unet(input, torch::full({input.size(0)}, t, input.options()), text.states)
                        .to(torch::kFloat32);
                },
            .encode_text =
                [&](const std::vector<std::string>& texts) {
                    return text_states(networks.text, tokenizer_, texts, options_.placement.device);
                },
            .autoencoder = autoencoder_,
            .schedule = schedule_,
            .device = options_.placement.device};
        const std::filesystem::path sheets = folder_ / "training" / "sheets";
        std::filesystem::create_directories(sheets);
        options_.save_picture(sheets / (name + "_edits" + options_.picture_suffix),
                              edit_sheet(model, options_.previews, recipe_));
        options_.save_picture(sheets / (name + "_generation" + options_.picture_suffix),
                              generation_sheet(model, recipe_));
    }

    void save() const {
        NamedTensors unet, text;
        for (const auto& [name, tensor] : optimizer_.averaged()) {
            const std::string prefix = "unet.";
            const bool is_unet = name.starts_with(prefix);
            const size_t skip = is_unet ? prefix.size() : std::string("text_encoder.").size();
            (is_unet ? unet : text)
                .emplace_back(name.substr(skip), tensor.to(torch::kHalf).contiguous());
        }
        save_component("unet", "diffusion_pytorch_model", unet, unet_config_json(unet_config_));
        save_component("text_encoder", "model", text, clip_text_config_json(text_config_));
        std::filesystem::create_directories(folder_ / "scheduler");
        std::ofstream(folder_ / "scheduler" / "scheduler_config.json") << scheduler_json;
    }

    void save_component(const std::string& name, const std::string& stem,
                        const NamedTensors& tensors, const std::string& config) const {
        std::filesystem::create_directories(folder_ / name);
        save_sharded(folder_ / name, stem, tensors);
        std::ofstream(folder_ / name / "config.json") << config;
    }

    const Recipe& recipe_;
    const std::filesystem::path& folder_;
    const TrainOptions& options_;
    const Autoencoder& autoencoder_;
    const Tokenizer& tokenizer_;
    torch::Tensor channel_weight_;  // [1, c, 1, 1]
    UnetConfig unet_config_;
    ClipTextConfig text_config_;
    Weights weights_;
    Networks networks_;
    Schedule schedule_;
    torch::Tensor alphas_cumprod_;
    Optimizer optimizer_;
    std::vector<LatentPool> pools_;
};

}  // namespace

void train_unet(const Recipe& recipe, const std::filesystem::path& folder,
                const TrainOptions& options, const TrainedAutoencoder& trained,
                const Tokenizer& tokenizer) {
    UnetTraining(recipe, folder, options, trained, tokenizer).run();
}

}  // namespace weft
