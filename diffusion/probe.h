#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
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

    std::string text;   // tokenize: the text; sample: the prompt
    int64_t which = 1;  // text: the first or second text encoder
    std::string negative;
    std::optional<double> guidance;  // not set: the model's default, as for the next five
    std::optional<double> image_guidance;
    std::optional<int64_t> steps;
    std::optional<std::string> sampler;
    std::optional<double> strength;
    std::optional<Spacing> spacing;
};

struct ProbeComponent {
    const char* name;
    const char* description;  // tensors in and out, one line for the help
    NamedTensors (*run)(const ProbeRequest& request);
};

const std::vector<ProbeComponent>& probe_components();

/// Runs a component. UsageError for an unknown component or a bad option, Error naming the tensor
/// for a missing or misshapen one.
NamedTensors probe(const ProbeRequest& request);

}  // namespace weft
