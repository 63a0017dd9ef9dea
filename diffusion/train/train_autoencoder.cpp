#include "diffusion/train/train_autoencoder.h"

#include <ATen/CPUGeneratorImpl.h>

#include <fstream>

#include "diffusion/train/pairs.h"
#include "diffusion/train/sheets.h"
#include "io/files/model_folder.h"
#include "io/files/weights.h"

namespace weft {
namespace {

constexpr int64_t scene_side = 128;  // px, procedural scenes that crops are cut from

PatchAutoencoderConfig config_of(const AutoencoderShape& shape) {
    return {.latent_channels = shape.latent_channels,
            .patch_size = shape.patch,
            .hidden_channels = shape.hidden_channels,
            .encoder_blocks = shape.encoder_blocks,
            .decoder_blocks = shape.decoder_blocks};
}

/// Mean absolute difference of pictures and, weighted, of their horizontal and vertical gradients.
torch::Tensor picture_loss(const torch::Tensor& made, const torch::Tensor& wanted,
                           double gradient_weight) {
    const torch::Tensor error = made - wanted;
    return error.abs().mean() +
           gradient_weight * (error.diff(1, 3).abs().mean() + error.diff(1, 2).abs().mean());
}

class AutoencoderTraining {
  public:
    AutoencoderTraining(const Recipe& recipe, const std::filesystem::path& folder,
                        const TrainOptions& options)
        : recipe_(recipe),
          folder_(folder),
          options_(options),
          device_(options.placement.device),
          weights_(Weights::create(recipe.seed, {.device = device_})),
          model_(config_of(recipe.autoencoder_shape), weights_),
          optimizer_((start_at_pca(), weights_.tensors()), recipe.autoencoder) {}

    NamedTensors run() {
        StageRun stage("autoencoder", folder_ / "training", recipe_.autoencoder, optimizer_,
                       options_.hooks);
        while (stage.goes_on()) {
            const torch::Tensor crops = next_crops(stage.step());
            const double loss = train_step(crops, stage.step());
            optimizer_.step(stage.learning_rate());
            stage.finish_step(loss);
        }
        if (!stage.finished()) {
            stage.finish();
        }
        return unit_latents(optimizer_.averaged());
    }

  private:
    torch::Tensor scenes(int64_t first, int64_t count) const {
        return make_scenes({recipe_.seed, first, count}, scene_side, scene_side, device_) * 2 - 1;
    }

    void start_at_pca() {
        const torch::NoGradGuard no_grad;
        const AutoencoderShape& shape = recipe_.autoencoder_shape;
        std::vector<torch::Tensor> patches;
        for (int64_t i = 0; i < 8; ++i) {
            patches.push_back(PatchAutoencoder::patches(scenes(i * 32, 32), shape.patch));
        }
        const PatchInit init = PatchAutoencoder::pca(torch::cat(patches), shape.latent_channels);
        std::map<std::string, torch::Tensor> parameters;
        for (const auto& [name, tensor] : weights_.tensors()) {
            parameters[name] = tensor;
        }
        for (const auto& [name, tensor] : patch_init_tensors(init)) {
            parameters.at(name).copy_(tensor);
        }
    }

    /// A new pool of scenes serves `reuse` times its pixels in crops; a pure function of the step.
    torch::Tensor next_crops(int64_t step) {
        const StageRecipe& stage = recipe_.autoencoder;
        const double crops_per_pool = static_cast<double>(stage.pool) * stage.reuse *
                                      static_cast<double>(scene_side * scene_side) /
                                      static_cast<double>(stage.crop * stage.crop);
        const auto steps_per_pool =
            std::max<int64_t>(1, std::llround(crops_per_pool / static_cast<double>(stage.batch)));
        if (step / steps_per_pool != pool_index_) {
            pool_index_ = step / steps_per_pool;
            std::vector<torch::Tensor> drawn;
            for (int64_t done = 0; done < stage.pool; done += 32) {
                drawn.push_back(scenes(pool_index_ * stage.pool + done,
                                       std::min<int64_t>(32, stage.pool - done)));
            }
            pool_ = torch::cat(drawn);
        }
        auto generator =
            at::detail::createCPUGenerator(recipe_.seed * 7919U + static_cast<uint64_t>(step));
        const torch::Tensor where = torch::randint(1 << 30, {stage.batch, 3}, generator,
                                                   torch::kInt64);  // picture, top, left
        std::vector<torch::Tensor> crops;
        for (int64_t i = 0; i < stage.batch; ++i) {
            const auto pick = [&](int64_t axis, int64_t below) {
                return where[i][axis].item<int64_t>() % below;
            };
            crops.push_back(pool_[pick(0, pool_.size(0))]
                                .narrow(1, pick(1, scene_side - stage.crop + 1), stage.crop)
                                .narrow(2, pick(2, scene_side - stage.crop + 1), stage.crop));
        }
        return torch::stack(crops);
    }

    double train_step(const torch::Tensor& crops, int64_t step) {
        const AutoencoderShape& shape = recipe_.autoencoder_shape;
        const torch::Tensor latents = model_.encode(crops).mean;
        at::Generator generator = at::globalContext().defaultGenerator(device_).clone();
        generator.set_current_seed(recipe_.seed * 104729U + static_cast<uint64_t>(step));
        const torch::Tensor noise =
            torch::randn(latents.sizes(), generator, latents.options().requires_grad(false));
        const torch::Tensor made = model_.decode(latents + shape.latent_noise * noise);
        const torch::Tensor fidelity = picture_loss(made, crops, shape.gradient_weight);
        // Without this the latents would grow to drown the noise.
        const torch::Tensor variance = latents.var({0, 2, 3});  // [c]
        const torch::Tensor spread = variance.clamp_min(1e-4).log().square().mean() * 0.01;
        (fidelity + spread).backward();
        return fidelity.item<double>();
    }

    NamedTensors unit_latents(const NamedTensors& trained) const {
        const torch::NoGradGuard no_grad;
        const PatchAutoencoder model(config_of(recipe_.autoencoder_shape),
                                     Weights::of(trained, "autoencoder", {.device = device_}));
        std::vector<torch::Tensor> latents;
        for (int64_t i = 0; i < 4; ++i) {
            latents.push_back(model.encode(scenes(1'000'000 + i * 32, 32)).mean);
        }
        const torch::Tensor all = torch::cat(latents).transpose(0, 1).flatten(1);  // [c, values]
        return rewhitened(trained, all.mean(1), all.std(1));
    }

    const Recipe& recipe_;
    const std::filesystem::path& folder_;
    const TrainOptions& options_;
    torch::Device device_;
    Weights weights_;
    PatchAutoencoder model_;
    Optimizer optimizer_;
    int64_t pool_index_ = -1;
    torch::Tensor pool_;  // [pool, 3, h, w] in [-1, 1]
};

/// Pictures above, what the autoencoder makes of them below.
void write_sheet(const Autoencoder& model, const Recipe& recipe, const TrainOptions& options,
                 const std::filesystem::path& path) {
    std::vector<torch::Tensor> above, below;
    std::vector<torch::Tensor> pictures = options.previews;
    if (pictures.empty()) {
        pictures = make_scenes({recipe.seed + 7, 0, 6}, 256, 256, torch::kCPU).unbind(0);
    }
    for (const torch::Tensor& picture : pictures) {
        const torch::Tensor image = picture.unsqueeze(0).to(options.placement.device) * 2 - 1;
        const torch::Tensor made =
            cropped(model.decode(model.encode(image).mean), image.size(2), image.size(3));
        above.push_back(picture);
        below.push_back(((made + 1) / 2).clamp(0, 1).squeeze(0).to(torch::kCPU));
    }
    const auto columns = static_cast<int64_t>(above.size());
    above.insert(above.end(), below.begin(), below.end());
    options.save_picture(path, contact_sheet(above, columns));
}

/// Norm of what one unit of a latent channel adds to a patch, through the linear decoder.
torch::Tensor channel_weights(const NamedTensors& tensors) {
    for (const auto& [name, tensor] : tensors) {
        if (name == "decoder.linear.weight") {
            const torch::Tensor weight = tensor.flatten(1).norm(2, 0).sqrt();  // [c]
            return weight / weight.mean();
        }
    }
    TORCH_CHECK(false, "an autoencoder without decoder.linear.weight");
}

/// All tensors of a component of a model folder.
NamedTensors tensors_of(const std::filesystem::path& model, const std::string& component) {
    NamedTensors tensors;
    for (const std::filesystem::path& path : ModelFolder(model).weight_files(component)) {
        const SafeTensors file(path);
        for (const auto& [name, entry] : file.entries()) {
            tensors.emplace_back(name, file.tensor(name).to(torch::kFloat32));
        }
    }
    return tensors;
}

}  // namespace

TrainedAutoencoder train_autoencoder(const Recipe& recipe, const std::filesystem::path& folder,
                                     const TrainOptions& options) {
    const NamedTensors tensors = options.init.empty()
                                     ? AutoencoderTraining(recipe, folder, options).run()
                                     : tensors_of(options.init, "vae");
    const torch::NoGradGuard no_grad;
    NamedTensors half;
    for (const auto& [name, tensor] : tensors) {
        half.emplace_back(name, tensor.to(torch::kHalf).contiguous());
    }
    std::filesystem::create_directories(folder / "vae");
    save_sharded(folder / "vae", "diffusion_pytorch_model", half);
    const PatchAutoencoderConfig config = config_of(recipe.autoencoder_shape);
    std::ofstream(folder / "vae" / "config.json") << patch_autoencoder_config_json(config);

    // Train the denoiser on what ships: the f16 weights.
    TrainedAutoencoder trained;
    trained.autoencoder = std::make_unique<PatchAutoencoder>(
        config, Weights::of(half, "vae", {.device = options.placement.device}));
    trained.channel_weight = channel_weights(tensors).to(options.placement.device);
    std::filesystem::create_directories(folder / "training" / "sheets");
    write_sheet(*trained.autoencoder, recipe, options,
                folder / "training" / "sheets" / ("autoencoder" + options.picture_suffix));
    return trained;
}

}  // namespace weft
