#pragma once

#include <cstdint>

#include "diffusion/model.h"
#include "diffusion/unet_config.h"

namespace weft {

/// A kind of model, told by the shape of its UNet. Rows of the table in families.cpp; to add one is
/// to add its row and what its denoiser is fed.
struct Family {
    const char* name;
    const char* description;
    /// Takes the source's latents beside the noisy ones (InstructPix2Pix).
    bool source_conditioned;
    bool (*matches)(const UnetConfig& unet, int64_t latent_channels);
    ModelDefaults defaults;
};

/// The first row that matches; Error naming the model and the known families otherwise.
const Family& find_family(const UnetConfig& unet, int64_t latent_channels,
                          const std::string& model);

}  // namespace weft
