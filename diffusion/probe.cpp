#include "diffusion/probe.h"

#include <algorithm>
#include <array>

#include "diffusion/autoencoder.h"
#include "diffusion/clip.h"
#include "diffusion/model_source.h"
#include "diffusion/probe_inputs.h"
#include "diffusion/probe_sample.h"
#include "diffusion/probe_sampler.h"
#include "diffusion/unet.h"
#include "io/files/error.h"

namespace weft {

namespace {

WeightOptions weight_options(const Placement& placement) {
    return {.device = placement.device, .dtype = placement.dtype};
}

int64_t first_or_second(const ProbeRequest& request) {
    if (request.which != 1 && request.which != 2)
        throw UsageError("--which", c10::str(request.which, " is no text encoder"), "take 1 or 2");
    return request.which;
}

NamedTensors probe_tokenize(const ProbeRequest& request) {
    const std::string name = first_or_second(request) == 1 ? "tokenizer" : "tokenizer_2";
    const Tokenizer tokenizer = ModelSource::open(request.model)->tokenizer(name);
    return {
        {"input_ids", torch::tensor(tokenizer.encode(request.text), torch::kInt64).view({1, -1})}};
}

NamedTensors probe_text(const ProbeRequest& request) {
    const std::string name = first_or_second(request) == 1 ? "text_encoder" : "text_encoder_2";
    const auto source = ModelSource::open(request.model);
    const Placement placement = choose_placement(request.device);
    const ClipTextConfig config = read_clip_text_config(source->config(name));
    const torch::Tensor ids =
        ProbeInputs(request.inputs, placement).integers("input_ids", {-1, -1});
    const bool known =
        ids.min().item<int64_t>() >= 0 && ids.max().item<int64_t>() < config.vocab_size;
    if (!known || ids.size(1) > config.max_position_embeddings)
        throw Error("input_ids",
                    c10::str("the text encoder takes up to ", config.max_position_embeddings,
                             " ids from 0 to ", config.vocab_size - 1));
    const ClipTextModel model(config, source->weights(name, weight_options(placement)));
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
        out.time_ids = inputs.exact_floats("time_ids", {n, -1});
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
    const auto source = ModelSource::open(request.model);
    const Placement placement = choose_placement(request.device);
    const ProbeInputs inputs(request.inputs, placement);
    const UnetConfig config = read_unet_config(source->config("unet"));
    const torch::Tensor x = inputs.floats("sample", {-1, config.in_channels, -1, -1});
    const torch::Tensor text =
        inputs.floats("encoder_hidden_states", {x.size(0), -1, config.cross_attention_dim.front()});
    const torch::Tensor timestep = inputs.numbers("timestep", x.size(0));
    const UnetInputs more = unet_inputs(inputs, x.size(0));
    const Unet unet(config, source->weights("unet", weight_options(placement)));
    return {{"out", unet(x, timestep, text, more)}};
}

std::unique_ptr<Autoencoder> open_autoencoder(const ProbeRequest& request,
                                              const Placement& placement) {
    const auto source = ModelSource::open(request.model);
    return make_autoencoder(source->config("vae"),
                            source->weights("vae", weight_options(placement)));
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

constexpr std::array<ProbeComponent, 7> table{{
    {"tokenize", "--text -> input_ids [1, 77]", probe_tokenize},
    {"text", "input_ids [n, 77] -> last_hidden_state, penultimate_hidden_state, pooled",
     probe_text},
    {"unet", "sample, timestep, encoder_hidden_states, ... -> out", probe_unet},
    {"vae-encode", "image [n, 3, h, w] in [-1, 1] -> mean, logvar", probe_vae_encode},
    {"vae-decode", "latent (divided by scaling_factor) -> image", probe_vae_decode},
    {"sampler", "sample, model_output.N -> timesteps, sigmas, prev_sample.N", probe_sampler},
    {"sample", "latents (unit noise), image, mask_image, ... -> latents, image", probe_sample},
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
