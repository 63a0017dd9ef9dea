#include "diffusion/model_traits.h"

#include <algorithm>
#include <utility>

#include "diffusion/families.h"
#include "diffusion/unet_config.h"
#include "diffusion/vae_choice.h"
#include "io/files/error.h"

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
    if (config.has("generation_steps"))
        defaults.generation_steps = config.integer("generation_steps", {1, 1000});
    if (config.has("generation_guidance"))
        defaults.generation_guidance = config.number("generation_guidance", {0, 100});
    traits.native_size = config.integer("native_size", {8, 65536}, traits.native_size);
    traits.edit_size = config.integer("edit_size", {8, 65536}, traits.native_size);
    if (config.has("words"))
        traits.words = config.texts("words");
}

void check_out_channels(const UnetConfig& unet, int64_t latent_channels, const std::string& where) {
    if (unet.out_channels != latent_channels)
        throw Error(where, c10::str("the unet answers with ", unet.out_channels,
                                    " channels, the vae has ", latent_channels));
}

const Variant* variant_of(const ModelSource& source, const UnetConfig& unet) {
    const Config scheduler = source.config("scheduler");
    const ScheduleConfig schedule = read_schedule_config(scheduler);
    const bool is_file = !fs::is_directory(source.path());
    return find_variant({.guidance_input = unet.time_cond_proj_dim.has_value(),
                         .scheduler_class = scheduler.text("_class_name", ""),
                         .trailing = schedule.spacing == Spacing::trailing &&
                                     !schedule.zero_terminal_snr &&
                                     schedule.prediction == Prediction::epsilon,
                         .file_name = is_file ? source.name() : ""});
}

void set_defaults(const ModelSource& source, const UnetConfig& unet, const Family& family,
                  ModelTraits& traits) {
    traits.defaults = family.defaults;
    if (const Variant* variant = variant_of(source, unet)) {
        traits.variant = variant->name;
        const double strength = family.defaults.strength;
        traits.defaults = variant->defaults;
        traits.defaults.strength = std::max(strength, traits.defaults.strength);
        // Only a network that is told its guidance can have much of it in a few steps.
        if (!traits.guidance_input)
            traits.defaults.guidance = 1;
    }
    read_own_defaults(source.own_defaults(), traits);
}

ScheduleConfig schedule_config(const ModelSource& source, const ModelOptions& options) {
    ScheduleConfig config = read_schedule_config(source.config("scheduler"));
    config.clip.reset();  // latents have no range to clip to
    config.prediction = options.prediction.value_or(config.prediction);
    return config;
}

}  // namespace

std::shared_ptr<const ModelSource> open_model(const fs::path& path, const ModelOptions& options) {
    auto source = ModelSource::open(path);
    return options.vae.empty() ? source : with_vae(std::move(source), options.vae);
}

ModelTraits model_traits(const ModelSource& source, const ModelOptions& options) {
    const UnetConfig unet = read_unet_config(source.config("unet"));
    const LatentShape latent = latent_shape(source.config("vae"));
    const std::string where = source.path().string();
    const Family& family = find_family(unet, latent.channels, where);
    check_out_channels(unet, latent.channels, where);
    const auto levels = static_cast<int64_t>(unet.block_out_channels.size());

    ModelTraits traits;
    traits.name = source.name();
    traits.family = family.name;
    traits.beside = family.beside;
    traits.latent_channels = latent.channels;
    traits.downscale = latent.downscale;
    traits.size_multiple = latent.downscale << std::clamp<int64_t>(levels - 1, 0, 8);
    traits.source_conditioned = family.beside == Beside::source;
    traits.prediction = schedule_config(source, options).prediction;
    traits.native_size = unet.sample_size * latent.downscale;
    traits.text_width = unet.cross_attention_dim.front();
    traits.pooled_text = unet.addition_embed_type == "text_time";
    traits.guidance_input = unet.time_cond_proj_dim.has_value();
    set_defaults(source, unet, family, traits);
    return traits;
}

Schedule latent_schedule(const ModelSource& source, const ModelTraits& traits,
                         const ModelOptions& options) {
    ScheduleConfig config = schedule_config(source, options);
    const UnetConfig unet = read_unet_config(source.config("unet"));
    const Family& family = find_family(unet, traits.latent_channels, source.path().string());
    if (family.from_one)
        config.steps_offset = 1;
    // A single file has no scheduler of its own that says so.
    const Variant* variant = variant_of(source, unet);
    if (variant != nullptr && variant->trailing)
        config.spacing = Spacing::trailing;
    if (traits.family.starts_with("sdxl"))
        config.ays = AysTable::sdxl;
    return Schedule(std::move(config));
}

}  // namespace weft
