#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "diffusion/model.h"
#include "diffusion/unet_config.h"

namespace weft {

/// A kind of model, told by the shape of its UNet. Rows of the table in families.cpp; to add one is
/// to add its row and, where it is fed something new, its member of Beside.
struct Family {
    const char* name;
    const char* description;
    Beside beside;
    bool (*matches)(const UnetConfig& unet, int64_t latent_channels);
    ModelDefaults defaults;
    /// diffusers' pipelines of this family count timesteps from 1 whatever old configs say.
    bool from_one = false;
};

/// The first row that matches; Error naming the model and the known families otherwise.
const Family& find_family(const UnetConfig& unet, int64_t latent_channels,
                          const std::string& model);

/// Models distilled to a few steps share their family's shape but not its defaults.
struct Variant {
    const char* name;
    const char* description;
    /// The scheduler that ships with such models, or "" where it tells nothing.
    const char* scheduler_class;
    /// In names of checkpoints, lower case.
    const char* file_name_part;
    ModelDefaults defaults;
    /// Distilled for steps that start at the last timestep.
    bool trailing = false;
};

/// What tells a variant: the network's guidance input, the scheduler's class and spacing, and (all
/// a bare checkpoint offers) the name people give the file.
struct VariantSigns {
    bool guidance_input = false;  // time_cond_proj_dim
    std::string scheduler_class = {};
    bool trailing = false;  // timestep_spacing, without zero-terminal-SNR
    std::string file_name = {};
};

/// nullptr for the many models that are no such variant.
const Variant* find_variant(const VariantSigns& signs);

}  // namespace weft
