#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "diffusion/device.h"
#include "diffusion/noise_levels.h"
#include "io/files/safetensors.h"

namespace weft {

/// One component of a model run on given tensors; names are diffusers' argument names.
struct ProbeRequest {
    std::string component;        // one of probe_components()
    std::filesystem::path model;  // a diffusers folder
    NamedTensors inputs;
    DeviceChoice device{"auto", "f32"};

    std::string text;                // tokenize: the text; sample: the prompt
    int64_t which = 1;               // text: the first or second text encoder
    std::string negative;            // sample
    std::optional<double> guidance;  // sample; not set: the model's default, as for the next three
    std::optional<double> image_guidance;
    std::optional<double> strength;
    std::optional<std::string> sampler;
    std::optional<int64_t> steps;    // sampler: as many as model outputs are given
    std::optional<Spacing> spacing;  // not set: the model's
    std::optional<double> eta;       // not set: the sampler's
    double guidance_rescale = 0;     // sample
    uint64_t seed = 0;               // sampler, sample: of the noise of stochastic samplers
    /// sample: width and height in pixels the latents must have; not set: as they come.
    std::optional<std::pair<int64_t, int64_t>> size;
};

struct ProbeComponent {
    const char* name;
    const char* description;  // tensors in and out, one line for the help
    NamedTensors (*run)(const ProbeRequest& request);
};

std::span<const ProbeComponent> probe_components();

/// Runs a component; what comes out is on the CPU, in f32 or i64. UsageError for an unknown
/// component or a bad option, Error naming the tensor for a missing or misshapen one.
NamedTensors probe(const ProbeRequest& request);

}  // namespace weft
