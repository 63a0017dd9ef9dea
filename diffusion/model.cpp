#include "diffusion/model.h"

#include <algorithm>
#include <utility>

#include "diffusion/autoencoder.h"
#include "diffusion/clip.h"
#include "diffusion/families.h"
#include "diffusion/unet.h"
#include "io/files/error.h"
#include "io/files/model_folder.h"

namespace weft {

namespace {

namespace fs = std::filesystem;

struct LatentShape {
    int64_t channels;
    int64_t downscale;
};

// Out of vae/config.json, without loading weights.
LatentShape latent_shape(const Config& vae) {
    const int64_t channels = vae.integer("latent_channels", {1, 1024}, 4);
    const std::string name = vae.text("_class_name", "AutoencoderKL");
    if (name == "PatchAutoencoder")
        return {channels, vae.integer("patch_size", {1, 64}, 8)};
    const char* key =
        name == "AutoencoderTiny" ? "encoder_block_out_channels" : "block_out_channels";
    const size_t levels = vae.has(key) ? vae.integers(key, {1, 65536}).size()
                                       : (name == "AutoencoderTiny" ? size_t{4} : size_t{1});
    if (levels < 1 || levels > 8)
        throw Error(vae.where(), c10::str(key, " has ", levels, " levels, expected 1 to 8"));
    return {channels, int64_t{1} << (levels - 1)};
}

// weft.json beside model_index.json: the model's own defaults.
void read_own_defaults(const Config& config, ModelTraits& traits) {
    ModelDefaults& defaults = traits.defaults;
    defaults.steps = config.integer("steps", {1, 1000}, defaults.steps);
    defaults.guidance = config.number("guidance", {0, 100}, defaults.guidance);
    defaults.image_guidance = config.number("image_guidance", {0, 100}, defaults.image_guidance);
    defaults.sampler = sampler_named(config.text("sampler", defaults.sampler)).name;
    defaults.strength = config.number("strength", {0, 1}, defaults.strength);
    traits.native_size = config.integer("native_size", {8, 65536}, traits.native_size);
    traits.edit_size = config.integer("edit_size", {8, 65536}, traits.native_size);
    if (config.has("words"))
        traits.words = config.texts("words");
}

std::string name_of(const fs::path& folder) {
    const fs::path whole = fs::absolute(folder).lexically_normal();
    return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

void check_out_channels(const UnetConfig& unet, int64_t latent_channels, const std::string& where) {
    if (unet.out_channels != latent_channels)
        throw Error(where, c10::str("the unet answers with ", unet.out_channels,
                                    " channels, the vae has ", latent_channels));
}

ModelTraits traits_of(const ModelFolder& folder) {
    const UnetConfig unet = read_unet_config(folder.config("unet"));
    const LatentShape latent = latent_shape(folder.config("vae"));
    const std::string where = folder.path().string();
    const Family& family = find_family(unet, latent.channels, where);
    check_out_channels(unet, latent.channels, where);
    const auto levels = static_cast<int64_t>(unet.block_out_channels.size());

    ModelTraits traits;
    traits.name = name_of(folder.path());
    traits.family = family.name;
    traits.latent_channels = latent.channels;
    traits.downscale = latent.downscale;
    traits.size_multiple = latent.downscale << std::clamp<int64_t>(levels - 1, 0, 8);
    traits.source_conditioned = family.source_conditioned;
    traits.prediction = read_schedule_config(folder.config("scheduler")).prediction;
    traits.native_size = unet.sample_size * latent.downscale;
    traits.text_width = unet.cross_attention_dim.front();
    traits.defaults = family.defaults;
    if (fs::exists(folder.path() / "weft.json"))
        read_own_defaults(Config::read(folder.path() / "weft.json"), traits);
    return traits;
}

Schedule latent_schedule(const ModelFolder& folder, const std::string& family) {
    ScheduleConfig config = read_schedule_config(folder.config("scheduler"));
    config.clip.reset();  // latents have no range to clip to
    if (family == "sd")
        config.steps_offset = 1;  // whatever old configs say, as diffusers' pipelines have it
    return Schedule(std::move(config));
}

// The patch autoencoder is cheap, and KL decoders overflow f16.
torch::ScalarType autoencoder_dtype(const Config& vae, torch::ScalarType dtype) {
    const bool is_patch = vae.text("_class_name", "") == "PatchAutoencoder";
    return is_patch || dtype == torch::kFloat16 ? torch::kFloat32 : dtype;
}

}  // namespace

struct DiffusionModel::Parts {
    ModelTraits traits;
    Placement placement;
    Schedule schedule;
    Tokenizer tokenizer;
    ClipTextModel text_encoder;  // f32: it runs once a prompt
    Unet unet;
    std::unique_ptr<const Autoencoder> autoencoder;
    torch::ScalarType autoencoder_dtype;

    Parts(const ModelFolder& folder, const Placement& where)
        : traits(traits_of(folder)),
          placement(where),
          schedule(latent_schedule(folder, traits.family)),
          tokenizer(Tokenizer::read(folder.path() / "tokenizer")),
          text_encoder(read_clip_text_config(folder.config("text_encoder")),
                       folder.weights("text_encoder", {where.device, torch::kFloat32})),
          unet(read_unet_config(folder.config("unet")),
               folder.weights("unet", {where.device, where.dtype})),
          autoencoder_dtype(weft::autoencoder_dtype(folder.config("vae"), where.dtype)) {
        autoencoder = make_autoencoder(folder.config("vae"),
                                       folder.weights("vae", {where.device, autoencoder_dtype}));
        check_text(folder.path().string());
    }

    // The tokenizer's ids must be the encoder's, and its states what the UNet attends to.
    void check_text(const std::string& folder) const {
        const ClipTextConfig& text = text_encoder.config();
        const bool ids_fit = tokenizer.vocab_size() <= text.vocab_size &&
                             tokenizer.max_length() <= text.max_position_embeddings;
        if (!ids_fit)
            throw Error(folder,
                        c10::str("the tokenizer makes ", tokenizer.max_length(), " ids below ",
                                 tokenizer.vocab_size(), ", the text encoder takes ",
                                 text.max_position_embeddings, " below ", text.vocab_size));
        if (text.hidden_size != traits.text_width)
            throw Error(folder, c10::str("the text encoder's states are ", text.hidden_size,
                                         " wide, the unet expects ", traits.text_width));
    }

    // The bare network in its own precision, f32 outside.
    torch::Tensor predict(const torch::Tensor& input, double t, const torch::Tensor& text) const {
        const torch::NoGradGuard no_gradients;
        const torch::Tensor timestep =
            torch::full({input.size(0)}, t, torch::TensorOptions(placement.device));
        const torch::Tensor out = unet(input.to(placement.device, placement.dtype), timestep,
                                       text.to(placement.device, placement.dtype));
        return out.to(torch::kFloat32);
    }
};

std::shared_ptr<const DiffusionModel> DiffusionModel::load(const fs::path& folder,
                                                           const DeviceChoice& device) {
    const ModelFolder opened(folder);
    const Placement placement = choose_placement(device);
    return std::shared_ptr<const DiffusionModel>(
        new DiffusionModel(std::make_shared<const Parts>(opened, placement)));
}

ModelTraits DiffusionModel::read_traits(const fs::path& folder) {
    return traits_of(ModelFolder(folder));
}

DiffusionModel::DiffusionModel(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}

DiffusionModel::~DiffusionModel() = default;

const ModelTraits& DiffusionModel::traits() const {
    return parts_->traits;
}

const Schedule& DiffusionModel::schedule() const {
    return parts_->schedule;
}

const Tokenizer& DiffusionModel::tokenizer() const {
    return parts_->tokenizer;
}

const Placement& DiffusionModel::placement() const {
    return parts_->placement;
}

torch::Tensor DiffusionModel::encode_text(const std::vector<std::string>& texts) const {
    const torch::NoGradGuard no_gradients;
    std::vector<int64_t> ids;
    for (const std::string& text : texts) {
        const std::vector<int64_t> own = parts_->tokenizer.encode(text);
        ids.insert(ids.end(), own.begin(), own.end());
    }
    const torch::Tensor batch =
        torch::tensor(ids, torch::kInt64).view({static_cast<int64_t>(texts.size()), -1});
    return parts_->text_encoder(batch.to(parts_->placement.device)).last_hidden_state;
}

torch::Tensor DiffusionModel::encode(const torch::Tensor& image) const {
    TORCH_CHECK(image.dim() == 4 && image.size(1) == 3, "encode takes [n, 3, h, w], got ",
                image.sizes());
    const torch::NoGradGuard no_gradients;
    const torch::Tensor scaled = image.to(parts_->placement.device, torch::kFloat32) * 2 - 1;
    const Autoencoder& autoencoder = *parts_->autoencoder;
    const torch::Tensor mean =
        autoencoder.encode(scaled.to(parts_->autoencoder_dtype)).mean.to(torch::kFloat32);
    return (mean - autoencoder.shift_factor()) * autoencoder.scaling_factor();
}

torch::Tensor DiffusionModel::decode(const torch::Tensor& latents) const {
    TORCH_CHECK(latents.dim() == 4 && latents.size(1) == traits().latent_channels,
                "decode takes [n, ", traits().latent_channels, ", h, w], got ", latents.sizes());
    const torch::NoGradGuard no_gradients;
    const Autoencoder& autoencoder = *parts_->autoencoder;
    const torch::Tensor scaled =
        latents.to(parts_->placement.device, torch::kFloat32) / autoencoder.scaling_factor() +
        autoencoder.shift_factor();
    const torch::Tensor image = autoencoder.decode(scaled.to(parts_->autoencoder_dtype));
    return (image.to(torch::kFloat32) * 0.5 + 0.5).clamp(0, 1);
}

Denoise DiffusionModel::denoise(const Conditioning& conditioning) const {
    const Network network = [parts = parts_](const torch::Tensor& input, double t,
                                             const torch::Tensor& text) {
        return parts->predict(input, t, text);
    };
    if (!traits().source_conditioned)
        return text_guided(network, traits().prediction, conditioning);
    // InstructPix2Pix is fed the source's latents as the encoder gives them, unscaled.
    Conditioning given = conditioning;
    if (given.source.defined())
        given.source = given.source / parts_->autoencoder->scaling_factor() +
                       parts_->autoencoder->shift_factor();
    return source_guided(network, traits().prediction, std::move(given));
}

std::vector<NoiseStep> DiffusionModel::levels(const Sampler& sampler, int64_t steps,
                                              double strength,
                                              std::optional<Spacing> spacing) const {
    return noise_levels(
        schedule(),
        {.grid = sampler.grid, .spacing = spacing, .steps = steps, .strength = strength});
}

}  // namespace weft
