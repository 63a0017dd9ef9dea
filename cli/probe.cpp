// weft probe COMPONENT
#include "diffusion/probe.h"

#include <c10/util/StringUtil.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/models.h"
#include "io/files/error.h"
#include "io/files/safetensors.h"

namespace weft {
namespace {

struct ProbeOptions {
    ProbeRequest request;
    std::string model;
    std::string input;
    std::string output;
    std::string spacing;
    std::string size;
    int64_t threads = 0;
};

std::string components_help() {
    std::string text = "Components:\n";
    for (const ProbeComponent& component : probe_components()) {
        text += "  " + std::string(component.name);
        text += std::string(12 - std::string(component.name).size(), ' ');
        text += std::string(component.description) + "\n";
    }
    return text + "Tensor names are diffusers' argument names.";
}

void add_sampling_options(CLI::App& command, ProbeOptions& options) {
    const std::string group = "sampler, sample";
    auto& request = options.request;
    command.add_option("--sampler", request.sampler, "name of a sampler (sampler: default ddim)")
        ->group(group);
    command.add_option("--steps", request.steps, "denoising steps, 1 to 1000")->group(group);
    command.add_option("--spacing", options.spacing, c10::Join(", ", spacing_names()))
        ->group(group);
    command.add_option("--eta", request.eta, "fresh noise a step, 0 to 1 (default: the sampler's)")
        ->check(CLI::Range(0.0, 1.0))
        ->group(group);
    command.add_option("--seed", request.seed, "of torch.Generator's step noise (default 0)")
        ->group(group);
    command.add_option("--guidance-rescale", request.guidance_rescale, "0 to 1 (default 0)")
        ->check(CLI::Range(0.0, 1.0))
        ->group(group);
    command.add_option("--negative", request.negative, "negative prompt")->group(group);
    command.add_option("--guidance", request.guidance, "text guidance, 0 to 100")->group(group);
    command.add_option("--image-guidance", request.image_guidance, "source guidance, 0 to 100")
        ->group(group);
    command.add_option("--strength", request.strength, "share of the steps run from image, 0 to 1")
        ->group(group);
    command.add_option("--size", options.size, "WxH in pixels that the latents must have")
        ->group(group);
}

std::pair<int64_t, int64_t> parse_size(const std::string& text) {
    const size_t cross = text.find('x');
    const bool whole = cross != std::string::npos && cross > 0 && cross + 1 < text.size() &&
                       text.size() <= 11 &&
                       text.find_first_not_of("0123456789x") == std::string::npos &&
                       text.find('x', cross + 1) == std::string::npos;
    if (!whole)
        throw UsageError("--size", "'" + text + "' is no size", "write it as 512x288");
    return {std::stoll(text.substr(0, cross)), std::stoll(text.substr(cross + 1))};
}

NamedTensors read_all(const std::string& path) {
    const SafeTensors file(path);
    NamedTensors tensors;
    for (const auto& [name, entry] : file.entries()) tensors.emplace_back(name, file.tensor(name));
    return tensors;
}

void run(ProbeOptions options, const Context& context) {
    ProbeRequest& request = options.request;
    request.model = locate_model(options.model, context);
    if (!options.input.empty())
        request.inputs = read_all(options.input);
    if (!options.spacing.empty())
        request.spacing = spacing_named(options.spacing);
    if (!options.size.empty())
        request.size = parse_size(options.size);
    set_threads(options.threads);
    save_safetensors(options.output, probe(request));
}

}  // namespace

void add_probe(CLI::App& command, Context& context) {
    auto options = std::make_shared<ProbeOptions>();
    auto& request = options->request;
    command.add_option("COMPONENT", request.component, "what to run, see below")->required();
    command.add_option("--model", options->model, "model name or folder (default: the starter)");
    command.add_option("--in", options->input, "safetensors file with the input tensors");
    command.add_option("--out", options->output, "safetensors file to write")->required();
    command.add_option("-p,--prompt,--text", request.text, "text to tokenize, or the prompt");
    command.add_option("--which", request.which, "text: encoder 1 or 2 (default 1)");
    command.add_option("--device", request.device.device, "auto, cpu or cuda[:N] (default auto)");
    command.add_option("--dtype", request.device.dtype, "auto, f32, bf16 or f16 (default f32)");
    command.add_option("--threads", options->threads, "threads, 0: all cores (default 0)");
    add_sampling_options(command, *options);
    command.footer(components_help());
    command.callback([options, &context] { run(*options, context); });
}

}  // namespace weft
