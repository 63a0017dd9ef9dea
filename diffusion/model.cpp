#include "diffusion/model.h"

#include <algorithm>
#include <utility>

#include "diffusion/autoencoder.h"
#include "diffusion/feature_cache.h"
#include "diffusion/linked_network.h"
#include "diffusion/model_source.h"
#include "diffusion/model_traits.h"
#include "diffusion/model_weights.h"
#include "diffusion/text_encoders.h"
#include "diffusion/unet.h"
#include "io/files/error.h"

namespace weft {

namespace {

namespace fs = std::filesystem;

// The refiner's scores of the prompt and of the negative one, as its authors chose them.
constexpr double aesthetic_score = 6.0;
constexpr double negative_aesthetic_score = 2.5;

// The patch autoencoder is cheap, and KL decoders overflow f16.
torch::ScalarType autoencoder_dtype(const Config& vae, torch::ScalarType dtype) {
    const bool is_patch = vae.text("_class_name", "") == "PatchAutoencoder";
    return is_patch || dtype == torch::kFloat16 ? torch::kFloat32 : dtype;
}

std::vector<LearnedWord> learned_words(const ModelOptions& options) {
    std::vector<LearnedWord> words;
    for (const EmbeddingChoice& choice : options.embeddings)
        for (LearnedWord& word : read_learned_words(choice)) words.push_back(std::move(word));
    return words;
}

// What steers at a level: outside their interval the scales of guidance count as 1.
Conditioning at_level(Conditioning given, const NoiseLevel& level) {
    if (!given.interval.holds(level))
        given.guidance = given.image_guidance = 1;
    return given;
}

// n rows out of 1 or a divisor of n: the rows of all branches stand one after another.
torch::Tensor repeated(const torch::Tensor& rows, int64_t n) {
    TORCH_CHECK(n % rows.size(0) == 0, rows.size(0), " rows beside a batch of ", n);
    return rows.size(0) == n ? rows : rows.repeat({n / rows.size(0), 1, 1, 1});
}

}  // namespace

struct DiffusionModel::Parts {
    ModelTraits traits;
    Placement placement;
    Schedule schedule;
    std::optional<Schedule> low_resolution_schedule;
    Unet unet;
    TextEncoders text;
    std::unique_ptr<const Autoencoder> autoencoder;
    torch::ScalarType autoencoder_dtype;

    std::vector<std::string> notes;

    Parts(const ModelSource& source, const Placement& where, const ModelOptions& options)
        : Parts(source, where, options, ModelWeights(source, options.loras)) {}

    Parts(const ModelSource& source, const Placement& where, const ModelOptions& options,
          ModelWeights weights)
        : traits(model_traits(source, options)),
          placement(where),
          schedule(latent_schedule(source, traits, options)),
          unet(read_unet_config(source.config("unet")),
               weights.open("unet", {where.device, where.dtype})),
          text(source, weights, unet.config(), where.device,
               {.words = learned_words(options), .clip_skip = options.clip_skip}),
          autoencoder_dtype(weft::autoencoder_dtype(source.config("vae"), where.dtype)) {
        if (source.has("low_res_scheduler"))
            low_resolution_schedule.emplace(
                read_schedule_config(source.config("low_res_scheduler")));
        autoencoder = make_autoencoder(source.config("vae"),
                                       weights.open("vae", {where.device, autoencoder_dtype}));
        notes = weights.finish();
    }

    /// What the network is fed and told besides x, t and the texts.
    struct Fed {
        torch::Tensor channels;          // [1 or n, c, h, w] beside x in every branch
        std::optional<double> guidance;  // of models that are told theirs
        std::optional<int64_t> label;
        // Of this run of a sampler:
        FeatureCache cache{1};
        int64_t calls = 0;         // of predict_all
        int64_t merged_calls = 0;  // of the denoiser
        double merge_ratio = 0;
        MergePlaces places;  // of this call; undefined: no tokens are merged
    };

    torch::Tensor encode(const torch::Tensor& image) const;
    torch::Tensor inpainting_channels(const BesideInputs& given, const torch::Tensor& x) const;
    torch::Tensor channels(const BesideInputs& given, const torch::Tensor& x) const;
    TextCondition sized(TextCondition condition, const torch::Tensor& x, double score) const;
    void choose_places(const TokenMerge& merge, const torch::Tensor& x, Fed& fed) const;
    UnetInputs told(const TextCondition& text, const Fed& fed, int64_t rows) const;
    torch::Tensor predict(const NetworkCall& call, double t, Fed& fed) const;
    torch::Tensor predict_all(LinkedBatch batch, const NoiseLevel& level, Fed& fed,
                              const Conditioning& given) const;
};

torch::Tensor DiffusionModel::Parts::encode(const torch::Tensor& image) const {
    const torch::Tensor scaled = image.to(placement.device, torch::kFloat32) * 2 - 1;
    const torch::Tensor mean =
        autoencoder->encode(scaled.to(autoencoder_dtype)).mean.to(torch::kFloat32);
    return (mean - autoencoder->shift_factor()) * autoencoder->scaling_factor();
}

// Without a mask everything is painted, over grey.
torch::Tensor DiffusionModel::Parts::inpainting_channels(const BesideInputs& given,
                                                         const torch::Tensor& x) const {
    const int64_t h = x.size(2), w = x.size(3), f = traits.downscale;
    const torch::Tensor mask = given.mask.defined() ? given.mask : torch::ones({1, 1, h, w});
    const torch::Tensor seen = given.masked_source.defined()
                                   ? given.masked_source
                                   : encode(torch::full({1, 3, h * f, w * f}, 0.5));
    const int64_t n = std::max(mask.size(0), seen.size(0));
    return torch::cat({repeated(mask.to(x), n), repeated(seen.to(x), n)}, 1);
}

torch::Tensor DiffusionModel::Parts::channels(const BesideInputs& given,
                                              const torch::Tensor& x) const {
    switch (traits.beside) {
        case Beside::mask:
            return inpainting_channels(given, x);
        case Beside::depth:
            if (!given.depth.defined())
                throw Error(traits.name, "needs a depth map, and none was given",
                            "take a model without the depth input");
            return given.depth.to(x);
        case Beside::low_resolution:
            if (!given.low_resolution.defined())
                throw Error(traits.name, "is an upscaler and needs the small picture",
                            "take a model that makes pictures from text or a source");
            return given.low_resolution.to(x);
        case Beside::nothing:
        case Beside::source:
            break;
    }
    return {};
}

// SDXL is told the size of what it makes.
TextCondition DiffusionModel::Parts::sized(TextCondition condition, const torch::Tensor& x,
                                           double score) const {
    if (!traits.pooled_text || !condition.defined() || condition.time_ids.defined())
        return condition;
    const int64_t h = x.size(2) * traits.downscale, w = x.size(3) * traits.downscale;
    condition.time_ids =
        traits.family == "sdxl-refiner" ? size_and_score_ids(h, w, score) : size_ids(h, w);
    return condition;
}

UnetInputs DiffusionModel::Parts::told(const TextCondition& condition, const Fed& fed,
                                       int64_t rows) const {
    UnetInputs inputs;
    if (condition.pooled.defined())
        inputs.text_embeds = condition.pooled.to(placement.device, placement.dtype);
    if (condition.time_ids.defined())
        inputs.time_ids = condition.time_ids.to(placement.device);
    if (fed.guidance) {
        // Meng et al., arXiv 2210.03142: the network is told w = guidance - 1, as a position.
        const torch::Tensor w = torch::full({rows}, (*fed.guidance - 1) * 1000);
        inputs.timestep_cond = sinusoids(w, *unet.config().time_cond_proj_dim,
                                         {.flip_sin_to_cos = false, .freq_shift = 1})
                                   .to(placement.device, placement.dtype);
    }
    if (fed.label)
        inputs.class_labels = torch::full({rows}, *fed.label, torch::kInt64).to(placement.device);
    return inputs;
}

// The tokens that others are merged into at this call, on the network's device.
void DiffusionModel::Parts::choose_places(const TokenMerge& merge, const torch::Tensor& x,
                                          Fed& fed) const {
    if (merge.ratio == 0)
        return;
    const MapSize map = finest_attention(unet.config(), {x.size(2), x.size(3)});
    const MergePlaces drawn = draw_places(merge, fed.merged_calls++, map);
    fed.places = {drawn.kept.to(placement.device), drawn.loose.to(placement.device)};
}

// The bare network in its own precision, f32 outside.
torch::Tensor DiffusionModel::Parts::predict(const NetworkCall& call, double t, Fed& fed) const {
    const torch::NoGradGuard no_gradients;
    const torch::Tensor& loras = call.text.loras;
    const LoraStrengths strengths(loras.defined() ? loras.to(placement.device) : loras);
    // One time for all rows: the residual blocks then add it to their bias.
    const torch::Tensor timestep = torch::full({1}, t, torch::TensorOptions(placement.device));
    UnetInputs inputs = told(call.text, fed, call.input.size(0));
    TokenMerging merging(fed.merge_ratio, fed.places, call.coupling);
    inputs.coupling = fed.places.kept.defined() ? &merging : call.coupling;
    inputs.deep = fed.cache.next(call.input);
    const torch::Tensor out = unet(call.input.to(placement.device, placement.dtype), timestep,
                                   call.text.states.to(placement.device, placement.dtype), inputs);
    return out.to(torch::kFloat32);
}

// All rows of a step: as one call, or frames that see each other call by call.
torch::Tensor DiffusionModel::Parts::predict_all(LinkedBatch batch, const NoiseLevel& level,
                                                 Fed& fed, const Conditioning& given) const {
    const auto beside = [&](const torch::Tensor& x) {
        return fed.channels.defined() ? torch::cat({x, repeated(fed.channels, x.size(0))}, 1) : x;
    };
    if (given.injection && needs_source(*given.injection, given.links, level)) {
        const Injection& injection = *given.injection;
        batch.source = beside(injection.source.at(level).to(batch.input));
        batch.source_text =
            sized(injection.text, batch.input, aesthetic_score).expanded(batch.frames);
        batch.taken = taken_sites(injection, level, unet.config());
    }
    batch.input = beside(batch.input);
    if (!given.links && !batch.source.defined())
        return predict({.input = batch.input, .text = batch.text}, level.t, fed);
    batch.match = telling_branch(given, traits.source_conditioned);
    batch.call = fed.calls++;
    return run_linked(given.links.value_or(unlinked(batch.frames)), batch,
                      [&](const NetworkCall& call) { return predict(call, level.t, fed); });
}

std::shared_ptr<const DiffusionModel> DiffusionModel::load(const fs::path& path,
                                                           const DeviceChoice& device,
                                                           const ModelOptions& options) {
    const auto source = open_model(path, options);
    const Placement placement = choose_placement(device);
    auto parts = std::make_shared<const Parts>(*source, placement, options);
    release_memory();  // the plain weights that were packed
    return std::shared_ptr<const DiffusionModel>(new DiffusionModel(std::move(parts)));
}

ModelTraits DiffusionModel::read_traits(const fs::path& path, const ModelOptions& options) {
    return model_traits(*open_model(path, options), options);
}

DiffusionModel::DiffusionModel(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}

DiffusionModel::~DiffusionModel() = default;

const ModelTraits& DiffusionModel::traits() const {
    return parts_->traits;
}

const Schedule& DiffusionModel::schedule() const {
    return parts_->schedule;
}

const Schedule* DiffusionModel::low_resolution_schedule() const {
    const auto& schedule = parts_->low_resolution_schedule;
    return schedule ? &*schedule : nullptr;
}

const Tokenizer& DiffusionModel::tokenizer() const {
    return parts_->text.towers().front().tokenizer;
}

const Placement& DiffusionModel::placement() const {
    return parts_->placement;
}

const std::vector<std::string>& DiffusionModel::notes() const {
    return parts_->notes;
}

TextCondition DiffusionModel::encode_text(const std::vector<std::string>& texts,
                                          const torch::Tensor& loras) const {
    return parts_->text.encode(texts, loras);
}

TextCondition DiffusionModel::encode_negative(const std::vector<std::string>& texts,
                                              const torch::Tensor& loras) const {
    return parts_->text.encode_negative(texts, loras);
}

torch::Tensor DiffusionModel::encode(const torch::Tensor& image) const {
    TORCH_CHECK(image.dim() == 4 && image.size(1) == 3, "encode takes [n, 3, h, w], got ",
                image.sizes());
    const torch::NoGradGuard no_gradients;
    return parts_->encode(image);
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
    Conditioning given = conditioning;
    check(given.merge);
    parts_->text.match_lengths(given.text, given.negative);
    if (given.links)
        check(*given.links, given.links->sees.size(0));
    if (given.injection) {
        if (traits().source_conditioned)
            throw UsageError(traits().name, "is fed the source itself and needs none injected",
                             "leave plug-and-play to models that take a prompt alone");
        if (given.cache_every > 1)
            throw UsageError("--cache-every", "skips the layers that the source is injected into",
                             "leave it at 1 with plug-and-play");
        if (given.merge.ratio > 0)
            throw UsageError("--merge-tokens", "merges tokens of the source and of the edit apart",
                             "leave it at 0 with plug-and-play");
        if (given.text.loras.defined() && !given.injection->text.loras.defined())
            given.injection->text.loras = torch::ones({1, given.text.loras.size(1)});
        // The longest of the three texts gives the length.
        parts_->text.match_lengths(given.injection->text, given.text);
        parts_->text.match_lengths(given.text, given.negative);
        parts_->text.match_lengths(given.injection->text, given.text);
    }
    // InstructPix2Pix is fed the source's latents as the encoder gives them, unscaled.
    if (traits().source_conditioned && given.source.defined())
        given.source = given.source / parts_->autoencoder->scaling_factor() +
                       parts_->autoencoder->shift_factor();
    Parts::Fed fed;
    if (traits().guidance_input)
        fed.guidance = std::exchange(given.guidance, 1);
    if (traits().beside == Beside::low_resolution)
        fed.label = given.beside.noise_level;
    fed.cache = FeatureCache(given.cache_every);
    fed.merge_ratio = given.merge.ratio;
    return [parts = parts_, fed, given](const torch::Tensor& x, const NoiseLevel& level) mutable {
        if (!fed.channels.defined())
            fed.channels = parts->channels(given.beside, x);
        fed.cache.begin();
        parts->choose_places(given.merge, x, fed);
        const Conditioning here = at_level(given, level);
        Conditioning now = here;
        now.text = parts->sized(given.text, x, aesthetic_score).expanded(x.size(0));
        if (given.negative.defined())
            now.negative =
                parts->sized(given.negative, x, negative_aesthetic_score).expanded(x.size(0));
        const Network network = [&](const torch::Tensor& input, double /*t*/,
                                    const TextCondition& text) {
            return parts->predict_all({.frames = x.size(0), .input = input, .text = text}, level,
                                      fed, here);
        };
        const Prediction prediction = parts->schedule.config().prediction;
        const auto guided = parts->traits.source_conditioned ? source_guided : text_guided;
        return guided(network, prediction, std::move(now))(x, level);
    };
}

std::vector<NoiseStep> DiffusionModel::levels(const Sampler& sampler, int64_t steps,
                                              double strength,
                                              std::optional<Spacing> spacing) const {
    return noise_levels(
        parts_->schedule,
        {.grid = sampler.grid, .spacing = spacing, .steps = steps, .strength = strength});
}

}  // namespace weft
