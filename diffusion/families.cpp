#include "diffusion/families.h"

#include <array>

#include "io/files/error.h"

namespace weft {

namespace {

// Text states are all the network is told besides the timestep.
bool is_plain(const UnetConfig& unet) {
    return unet.addition_embed_type != "text_time" && unet.class_embed_type.empty() &&
           !unet.num_class_embeds.has_value();
}

bool is_instruct(const UnetConfig& unet, int64_t latent_channels) {
    return is_plain(unet) && unet.in_channels == 2 * latent_channels;
}

bool is_stable_diffusion(const UnetConfig& unet, int64_t latent_channels) {
    return is_plain(unet) && unet.in_channels == latent_channels;
}

const std::array<Family, 2>& table() {
    static const std::array<Family, 2> rows{{
        {"instruct",
         "edits a source picture by an instruction (InstructPix2Pix, weft's starter)",
         true,
         is_instruct,
         {.steps = 20, .guidance = 7.5, .image_guidance = 1.5, .sampler = "euler", .strength = 1}},
        {"sd",
         "makes pictures from text (Stable Diffusion 1.x and 2.x)",
         false,
         is_stable_diffusion,
         {.steps = 20,
          .guidance = 7.5,
          .image_guidance = 1,
          .sampler = "dpmpp_2m",
          .strength = 0.6}},
    }};
    return rows;
}

// What a network that no row matches seems to be.
std::string guess(const UnetConfig& unet, int64_t latent_channels) {
    if (unet.addition_embed_type == "text_time")
        return "is of the SDXL kind";
    if (unet.in_channels == 2 * latent_channels + 1)
        return "is an inpainting model";
    return c10::str("takes ", unet.in_channels, " channels for latents of ", latent_channels);
}

}  // namespace

const Family& find_family(const UnetConfig& unet, int64_t latent_channels,
                          const std::string& model) {
    std::string known;
    for (const Family& family : table()) {
        if (family.matches(unet, latent_channels))
            return family;
        known += c10::str(known.empty() ? "" : "; ", family.name, ": ", family.description);
    }
    throw Error(model, guess(unet, latent_channels) + ", which weft does not run yet",
                "weft runs " + known);
}

}  // namespace weft
