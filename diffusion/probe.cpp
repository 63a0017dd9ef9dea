#include "diffusion/probe.h"

#include <algorithm>
#include <array>

#include "diffusion/autoencoder.h"
#include "diffusion/clip.h"
#include "diffusion/model.h"
#include "diffusion/probe_inputs.h"
#include "diffusion/unet.h"
#include "io/files/error.h"
#include "io/files/model_folder.h"

namespace weft {

namespace {

WeightOptions weight_options(const Placement& placement) {
    return {.device = placement.device, .dtype = placement.dtype};
}

NamedTensors probe_tokenize(const ProbeRequest& request) {
    const ModelFolder folder(request.model);
    const Tokenizer tokenizer = Tokenizer::read(folder.path() / "tokenizer");
    return {
        {"input_ids", torch::tensor(tokenizer.encode(request.text), torch::kInt64).view({1, -1})}};
}

NamedTensors probe_text(const ProbeRequest& request) {
    if (request.which != 1 && request.which != 2)
        throw UsageError("--which", c10::str(request.which, " is no text encoder"), "take 1 or 2");
    const ModelFolder folder(request.model);
    const Placement placement = choose_placement(request.device);
    const std::string name = request.which == 1 ? "text_encoder" : "text_encoder_2";
    const ClipTextConfig config = read_clip_text_config(folder.config(name));
    const torch::Tensor ids =
        ProbeInputs(request.inputs, placement).integers("input_ids", {-1, -1});
    const bool known =
        ids.min().item<int64_t>() >= 0 && ids.max().item<int64_t>() < config.vocab_size;
    if (!known || ids.size(1) > config.max_position_embeddings)
        throw Error("input_ids",
                    c10::str("the text encoder takes up to ", config.max_position_embeddings,
                             " ids from 0 to ", config.vocab_size - 1));
    const ClipTextModel model(config, folder.weights(name, weight_options(placement)));
    const TextStates states = model(ids);
    return {{"last_hidden_state", states.last_hidden_state},
            {"penultimate_hidden_state", states.penultimate_hidden_state},
            {"pooled", states.pooled}};
}

UnetInputs unet_inputs(const ProbeInputs& inputs, int64_t n) {
    UnetInputs out;
    if (inputs.has("text_embeds"))
        out.text_embeds = inputs.floats("text_embeds", {n, -1});
    if (inputs.has("time_ids"))
        out.time_ids = inputs.floats("time_ids", {n, -1});
    if (inputs.has("timestep_cond"))
        out.timestep_cond = inputs.floats("timestep_cond", {n, -1});
    if (inputs.has("class_labels"))
        out.class_labels = inputs.numbers("class_labels", n);
    out.down_block_additional_residuals =
        inputs.list("down_block_additional_residuals", {n, -1, -1, -1});
    if (inputs.has("mid_block_additional_residual"))
        out.mid_block_additional_residual =
            inputs.floats("mid_block_additional_residual", {n, -1, -1, -1});
    return out;
}

NamedTensors probe_unet(const ProbeRequest& request) {
    const ModelFolder folder(request.model);
    const Placement placement = choose_placement(request.device);
    const ProbeInputs inputs(request.inputs, placement);
    const UnetConfig config = read_unet_config(folder.config("unet"));
    const torch::Tensor x = inputs.floats("sample", {-1, config.in_channels, -1, -1});
    const torch::Tensor text =
        inputs.floats("encoder_hidden_states", {x.size(0), -1, config.cross_attention_dim.front()});
    const torch::Tensor timestep = inputs.numbers("timestep", x.size(0));
    const UnetInputs more = unet_inputs(inputs, x.size(0));
    const Unet unet(config, folder.weights("unet", weight_options(placement)));
    return {{"out", unet(x, timestep, text, more)}};
}

std::unique_ptr<Autoencoder> open_autoencoder(const ProbeRequest& request,
                                              const Placement& placement) {
    const ModelFolder folder(request.model);
    return make_autoencoder(folder.config("vae"), folder.weights("vae", weight_options(placement)));
}

NamedTensors probe_vae_encode(const ProbeRequest& request) {
    const Placement placement = choose_placement(request.device);
    const torch::Tensor image =
        ProbeInputs(request.inputs, placement).floats("image", {-1, 3, -1, -1});
    const Moments moments = open_autoencoder(request, placement)->encode(image);
    NamedTensors out{{"mean", moments.mean}};
    if (moments.logvar.defined())
        out.emplace_back("logvar", moments.logvar);
    return out;
}

NamedTensors probe_vae_decode(const ProbeRequest& request) {
    const Placement placement = choose_placement(request.device);
    const std::unique_ptr<Autoencoder> autoencoder = open_autoencoder(request, placement);
    const torch::Tensor latent =
        ProbeInputs(request.inputs, placement)
            .floats("latent", {-1, autoencoder->latent_channels(), -1, -1});
    return {{"image", autoencoder->decode(latent)}};
}

// Timesteps and sigmas as the scheduler of that grid holds them.
void add_levels(NamedTensors& out, Grid grid, const std::vector<NoiseStep>& steps) {
    std::vector<double> times;
    std::vector<double> sigmas;
    for (const NoiseStep& step : steps) {
        times.push_back(step.from.t);
        sigmas.push_back(step.from.sigma / step.from.alpha);
    }
    sigmas.push_back(steps.back().to.sigma / steps.back().to.alpha);
    const torch::Tensor timesteps = torch::tensor(times, torch::kFloat64);
    out.emplace_back("timesteps",
                     timesteps.to(grid == Grid::euler ? torch::kFloat32 : torch::kInt64));
    if (grid != Grid::ddim)
        out.emplace_back("sigmas", torch::tensor(sigmas, torch::kFloat32));
}

NamedTensors probe_sampler(const ProbeRequest& request) {
    const ModelFolder folder(request.model);
    const ProbeInputs inputs(request.inputs, {});
    const Sampler& sampler = sampler_named(request.sampler.value_or("ddim"));
    const Schedule schedule(read_schedule_config(folder.config("scheduler")));
    const torch::Tensor start = inputs.floats("sample", {-1, -1, -1, -1});
    const std::vector<torch::Tensor> outputs = inputs.list("model_output", start.sizes());
    const auto count = static_cast<int64_t>(outputs.size());
    const int64_t wanted = request.steps.value_or(count);
    if (count == 0 || count != wanted)
        throw Error("model_output",
                    c10::str("the input file has ", count, " of them for ", wanted, " steps"),
                    "give one a network call, model_output.0 and up");
    const std::vector<NoiseStep> steps =
        noise_levels(schedule, {.grid = sampler.grid, .spacing = request.spacing, .steps = wanted});

    NamedTensors out;
    add_levels(out, sampler.grid, steps);
    // EulerDiscreteScheduler keeps x / alpha; the others keep x.
    const bool divided = sampler.grid == Grid::euler;
    SamplerOptions options;
    options.clip = schedule.config().clip;
    options.on_step = [&](int64_t step, const torch::Tensor& x) {
        const NoiseLevel& level = steps[static_cast<size_t>(step)].to;
        out.emplace_back(c10::str("prev_sample.", step), divided ? x / level.alpha : x);
    };
    size_t call = 0;
    const Denoise replay = [&](const torch::Tensor& x, const NoiseLevel& level) {
        return to_x0(schedule.config().prediction, outputs.at(call++), x, level);
    };
    const double scale = divided ? steps.front().from.alpha : 1;
    sample(sampler, replay, start * scale, steps, options);
    return out;
}

// As diffusers' pipelines do: a picture with negative values is in [-1, 1], another in [0, 1].
torch::Tensor unit_picture(const torch::Tensor& image) {
    return image.min().item<float>() < 0 ? image * 0.5 + 0.5 : image;
}

// Latents of the picture the run starts from; undefined without one.
torch::Tensor source_latents(const DiffusionModel& model, const ProbeInputs& inputs,
                             const torch::Tensor& noise) {
    if (!inputs.has("image"))
        return {};
    const int64_t f = model.traits().downscale;
    const torch::Tensor image =
        inputs.floats("image", {-1, 3, noise.size(2) * f, noise.size(3) * f});
    if (image.size(0) != 1 && image.size(0) != noise.size(0))
        throw Error("image", c10::str("there are ", image.size(0), " pictures for ", noise.size(0),
                                      " latents"));
    return model.encode(unit_picture(image));
}

void check_size(const ProbeRequest& request, const torch::Tensor& noise, int64_t downscale) {
    if (request.size && (noise.size(3) * downscale != request.size->first ||
                         noise.size(2) * downscale != request.size->second))
        throw Error("latents", c10::str("they are for ", noise.size(3) * downscale, "x",
                                        noise.size(2) * downscale, " pixels, --size says ",
                                        request.size->first, "x", request.size->second));
}

NamedTensors probe_sample(const ProbeRequest& request) {
    const auto model = DiffusionModel::load(request.model, request.device);
    const ModelTraits& traits = model->traits();
    const ProbeInputs inputs(request.inputs, {model->placement().device, torch::kFloat32});
    const torch::Tensor noise = inputs.floats("latents", {-1, traits.latent_channels, -1, -1});
    check_size(request, noise, traits.downscale);
    const torch::Tensor source = source_latents(*model, inputs, noise);
    const double strength =
        source.defined() ? request.strength.value_or(traits.defaults.strength) : 1;

    const Sampler& sampler = sampler_named(request.sampler.value_or(traits.defaults.sampler));
    const LevelRequest levels{.grid = sampler.grid,
                              .spacing = request.spacing,
                              .steps = request.steps.value_or(traits.defaults.steps),
                              .strength = strength};
    const std::vector<NoiseStep> steps = noise_levels(model->schedule(), levels);
    torch::Tensor x = source;
    if (!steps.empty()) {
        const NoiseLevel& first = steps.front().from;
        // InstructPix2Pix at full strength starts from noise alone and sees the source aside.
        const bool from_noise = !source.defined() || (traits.source_conditioned && strength >= 1);
        x = from_noise ? noise * initial_scale(model->schedule(), levels, first)
                       : add_noise(source, noise, first);
    }
    const Denoise denoise = model->denoise({
        .text = model->encode_text({request.text}),
        .negative = model->encode_text({request.negative}),
        .source = traits.source_conditioned ? source : torch::Tensor(),
        .guidance = request.guidance.value_or(traits.defaults.guidance),
        .image_guidance = request.image_guidance.value_or(traits.defaults.image_guidance),
    });
    const torch::Tensor latents = sample(sampler, denoise, x, steps);
    return {{"latents", latents}, {"image", model->decode(latents)}};
}

constexpr std::array<ProbeComponent, 7> table{{
    {"tokenize", "--text -> input_ids [1, 77]", probe_tokenize},
    {"text", "input_ids [n, 77] -> last_hidden_state, penultimate_hidden_state, pooled",
     probe_text},
    {"unet", "sample, timestep, encoder_hidden_states, ... -> out", probe_unet},
    {"vae-encode", "image [n, 3, h, w] in [-1, 1] -> mean, logvar", probe_vae_encode},
    {"vae-decode", "latent (divided by scaling_factor) -> image", probe_vae_decode},
    {"sampler", "sample, model_output.N -> timesteps, sigmas, prev_sample.N", probe_sampler},
    {"sample", "latents (unit noise), image -> latents, image in [0, 1]", probe_sample},
}};

}  // namespace

std::span<const ProbeComponent> probe_components() {
    return table;
}

NamedTensors probe(const ProbeRequest& request) {
    std::string known;
    for (const ProbeComponent& component : table) {
        known += (known.empty() ? "" : ", ") + std::string(component.name);
        if (request.component != component.name)
            continue;
        const torch::NoGradGuard no_gradients;
        NamedTensors out = component.run(request);
        for (auto& [name, tensor] : out)
            tensor = tensor.is_floating_point() ? tensor.to(torch::kCPU, torch::kFloat32)
                                                : tensor.to(torch::kCPU);
        return out;
    }
    throw UsageError(request.component, "no such component", "weft probes " + known);
}

}  // namespace weft
