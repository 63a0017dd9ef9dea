#include "diffusion/probe_sample.h"

#include "diffusion/beside.h"
#include "diffusion/model.h"
#include "diffusion/probe_inputs.h"
#include "diffusion/probe_sampler.h"
#include "diffusion/samplers.h"
#include "io/files/error.h"

namespace weft {

namespace {

// As diffusers' pipelines do: a picture with negative values is in [-1, 1], another in [0, 1].
torch::Tensor unit_picture(const torch::Tensor& image) {
    return image.min().item<float>() < 0 ? image * 0.5 + 0.5 : image;
}

// One run: the model, what it was given and where its tensors lie.
struct Run {
    const ProbeRequest& request;
    const DiffusionModel& model;
    const ProbeInputs& inputs;
    torch::Tensor noise;  // [n, c, h, w]

    // The picture under `name`, `f` pixels a latent; undefined where there is none.
    torch::Tensor picture(const std::string& name, int64_t channels, int64_t f) const {
        if (!inputs.has(name))
            return {};
        torch::Tensor image =
            inputs.floats(name, {-1, channels, noise.size(2) * f, noise.size(3) * f});
        if (image.size(0) != 1 && image.size(0) != noise.size(0))
            throw Error(name, c10::str("there are ", image.size(0), " pictures for ", noise.size(0),
                                       " latents"));
        return image;
    }

    torch::Tensor source_picture() const {
        const bool small = model.traits().beside == Beside::low_resolution;
        const torch::Tensor image = picture("image", 3, small ? 1 : model.traits().downscale);
        return image.defined() ? unit_picture(image) : image;
    }

    BesideInputs beside(const torch::Tensor& image) const {
        switch (model.traits().beside) {
            case Beside::mask:
                return masked(image);
            case Beside::depth:
                return depth_inputs(inputs.floats("depth_map", {-1, -1, -1}), noise.size(2),
                                    noise.size(3));
            case Beside::low_resolution:
                return upscaled(image);
            case Beside::nothing:
            case Beside::source:
                break;
        }
        return {};
    }

  private:
    BesideInputs masked(const torch::Tensor& image) const {
        const torch::Tensor mask = picture("mask_image", 1, model.traits().downscale);
        if (!mask.defined())
            return {};
        if (!image.defined())
            throw Error("image", "the input file has a mask, but no picture to paint in");
        return inpainting_inputs(model, image, mask);
    }

    BesideInputs upscaled(const torch::Tensor& image) const {
        if (!image.defined())
            throw Error("image", "the input file has no such tensor",
                        "an upscaler needs the small picture, [n, 3, h, w] as large as latents");
        const int64_t level =
            inputs.has("noise_level")
                ? static_cast<int64_t>(inputs.numbers("noise_level", 1).item<float>())
                : BesideInputs{}.noise_level;
        return upscaler_inputs(model, image, inputs.floats("image_noise", image.sizes()), level);
    }
};

void check_size(const ProbeRequest& request, const torch::Tensor& noise, int64_t downscale) {
    if (request.size && (noise.size(3) * downscale != request.size->first ||
                         noise.size(2) * downscale != request.size->second))
        throw Error("latents", c10::str("they are for ", noise.size(3) * downscale, "x",
                                        noise.size(2) * downscale, " pixels, --size says ",
                                        request.size->first, "x", request.size->second));
}

// True where a run sees its picture aside and, at full strength, starts from noise alone.
bool sees_source(const ModelTraits& traits) {
    return traits.source_conditioned || traits.beside == Beside::mask;
}

torch::Tensor start_of(const DiffusionModel& model, const torch::Tensor& source,
                       const torch::Tensor& noise, const LevelRequest& levels,
                       const std::vector<NoiseStep>& steps) {
    if (steps.empty())
        return source;
    const NoiseLevel& first = steps.front().from;
    const bool from_noise =
        !source.defined() || (sees_source(model.traits()) && levels.strength >= 1);
    return from_noise ? noise * initial_scale(model.schedule(), levels, first)
                      : add_noise(source, noise, first);
}

}  // namespace

NamedTensors probe_sample(const ProbeRequest& request) {
    const auto model = DiffusionModel::load(request.model, request.device);
    const ModelTraits& traits = model->traits();
    const ProbeInputs inputs(request.inputs, {model->placement().device, torch::kFloat32});
    const torch::Tensor noise = inputs.floats("latents", {-1, traits.latent_channels, -1, -1});
    check_size(request, noise, traits.downscale);
    const Run run{request, *model, inputs, noise};
    const torch::Tensor image = run.source_picture();
    const bool starts_from_picture = image.defined() && traits.beside != Beside::low_resolution;
    const torch::Tensor source = starts_from_picture ? model->encode(image) : torch::Tensor();

    const Sampler& sampler = sampler_named(request.sampler.value_or(traits.defaults.sampler));
    const LevelRequest levels{
        .grid = sampler.grid,
        .spacing = request.spacing,
        .steps = request.steps.value_or(traits.defaults.steps),
        .strength = source.defined() ? request.strength.value_or(traits.defaults.strength) : 1};
    const std::vector<NoiseStep> steps = noise_levels(model->schedule(), levels);
    const Denoise denoise = model->denoise({
        .text = model->encode_text({request.text}),
        .negative = model->encode_negative({request.negative}),
        .source = traits.source_conditioned ? source : torch::Tensor(),
        .beside = run.beside(image),
        .guidance = request.guidance.value_or(traits.defaults.guidance),
        .image_guidance = request.image_guidance.value_or(traits.defaults.image_guidance),
        .guidance_rescale = request.guidance_rescale,
    });
    SamplerOptions options = sampler_options(sampler, model->schedule());
    options.eta = request.eta;
    options.noise = probe_noise(request, inputs, noise);
    const torch::Tensor latents =
        sample(sampler, denoise, start_of(*model, source, noise, levels, steps), steps, options);
    return {{"latents", latents}, {"image", model->decode(latents)}};
}

}  // namespace weft
