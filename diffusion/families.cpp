#include "diffusion/families.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "io/files/error.h"

namespace weft {

namespace {

constexpr int64_t mask_channels = 1;
constexpr int64_t picture_channels = 3;

// Text states are all the network is told besides the timestep.
bool is_plain(const UnetConfig& unet) {
    return unet.addition_embed_type.empty() && unet.class_embed_type.empty() &&
           !unet.num_class_embeds;
}

// OpenCLIP-H and linear projections; SD 1 has CLIP-L and 1x1 convolutions.
bool is_sd2(const UnetConfig& unet) {
    return is_plain(unet) && unet.use_linear_projection;
}

bool is_sd1(const UnetConfig& unet) {
    return is_plain(unet) && !unet.use_linear_projection;
}

bool is_sdxl(const UnetConfig& unet) {
    return unet.addition_embed_type == "text_time" && unet.class_embed_type.empty();
}

// The refiner is told five numbers beside the pooled text, SDXL base six. Its one encoder makes
// states and pooled vectors of the same width, base's states come from two encoders.
bool is_refiner(const UnetConfig& unet) {
    if (!is_sdxl(unet) || !unet.addition_time_embed_dim ||
        !unet.projection_class_embeddings_input_dim)
        return false;
    const int64_t pooled =
        *unet.projection_class_embeddings_input_dim - 5 * *unet.addition_time_embed_dim;
    return pooled == unet.cross_attention_dim.front();
}

bool fed(const UnetConfig& unet, int64_t expected) {
    return unet.in_channels == expected;
}

bool is_upscaler(const UnetConfig& unet, int64_t c) {
    return unet.num_class_embeds && unet.addition_embed_type.empty() &&
           fed(unet, c + picture_channels);
}

const ModelDefaults instruct_defaults{
    .steps = 20, .guidance = 7.5, .image_guidance = 1.5, .sampler = "euler", .strength = 1};

ModelDefaults text_defaults(double guidance) {
    return {.steps = 20,
            .guidance = guidance,
            .image_guidance = 1,
            .sampler = "dpmpp_2m",
            .strength = 0.6};
}

const std::array<Family, 13>& table() {
    using U = const UnetConfig&;
    static const std::array<Family, 13> rows{{
        {"starter", "weft's starter: edits a source picture by an instruction", Beside::source,
         [](U u, int64_t c) { return u.addition_embed_type == "text" && fed(u, 2 * c); },
         instruct_defaults},
        {"sd1", "Stable Diffusion 1.x: pictures from text", Beside::nothing,
         [](U u, int64_t c) { return is_sd1(u) && fed(u, c); }, text_defaults(7.5), true},
        {"sd2", "Stable Diffusion 2.x: pictures from text", Beside::nothing,
         [](U u, int64_t c) { return is_sd2(u) && fed(u, c); }, text_defaults(7.5), true},
        {"sdxl-refiner",
         "Stable Diffusion XL refiner: the last steps of a picture",
         Beside::nothing,
         [](U u, int64_t c) { return is_refiner(u) && fed(u, c); },
         {.steps = 20, .guidance = 5, .image_guidance = 1, .sampler = "dpmpp_2m", .strength = 0.3}},
        {"sdxl", "Stable Diffusion XL base: pictures from text", Beside::nothing,
         [](U u, int64_t c) { return is_sdxl(u) && fed(u, c); }, text_defaults(5)},
        {"sd1-inpaint",
         "Stable Diffusion 1.x inpainting: repaints under a mask",
         Beside::mask,
         [](U u, int64_t c) { return is_sd1(u) && fed(u, 2 * c + mask_channels); },
         {.steps = 20, .guidance = 7.5, .image_guidance = 1, .sampler = "dpmpp_2m", .strength = 1},
         true},
        {"sd2-inpaint",
         "Stable Diffusion 2.x inpainting: repaints under a mask",
         Beside::mask,
         [](U u, int64_t c) { return is_sd2(u) && fed(u, 2 * c + mask_channels); },
         {.steps = 20, .guidance = 7.5, .image_guidance = 1, .sampler = "dpmpp_2m", .strength = 1},
         true},
        {"sdxl-inpaint",
         "Stable Diffusion XL inpainting: repaints under a mask",
         Beside::mask,
         [](U u, int64_t c) { return is_sdxl(u) && fed(u, 2 * c + mask_channels); },
         {.steps = 20, .guidance = 7.5, .image_guidance = 1, .sampler = "euler", .strength = 1}},
        {"instruct", "InstructPix2Pix: edits a source picture by an instruction", Beside::source,
         [](U u, int64_t c) { return is_plain(u) && fed(u, 2 * c); }, instruct_defaults},
        {"sdxl-instruct",
         "InstructPix2Pix on Stable Diffusion XL",
         Beside::source,
         [](U u, int64_t c) { return is_sdxl(u) && fed(u, 2 * c); },
         {.steps = 20, .guidance = 5, .image_guidance = 1.5, .sampler = "euler", .strength = 1}},
        {"sd1-depth", "Stable Diffusion 1.x with a depth map", Beside::depth,
         [](U u, int64_t c) { return is_sd1(u) && fed(u, c + 1); }, text_defaults(7.5)},
        {"sd2-depth", "Stable Diffusion 2.x with a depth map", Beside::depth,
         [](U u, int64_t c) { return is_sd2(u) && fed(u, c + 1); }, text_defaults(7.5)},
        {"upscaler",
         "Stable Diffusion x4 upscaler",
         Beside::low_resolution,
         is_upscaler,
         {.steps = 20, .guidance = 9, .image_guidance = 1, .sampler = "ddim", .strength = 1}},
    }};
    return rows;
}

// LCM (Luo et al., arXiv 2310.04378) is told its guidance; the adversarially distilled ones (Sauer
// et al., arXiv 2311.17042; Lin et al., arXiv 2402.13929) run without any.
const std::array<Variant, 4>& variants() {
    static const std::array<Variant, 4> rows{{
        {"lcm",
         "latent consistency model: 1 to 8 steps",
         "LCMScheduler",
         "lcm",
         {.steps = 4, .guidance = 8.5, .image_guidance = 1, .sampler = "lcm", .strength = 0.6}},
        {"turbo",
         "adversarially distilled: 1 to 4 steps without guidance",
         "",
         "turbo",
         {.steps = 4, .guidance = 1, .image_guidance = 1, .sampler = "euler", .strength = 0.5},
         true},
        {"lightning",
         "progressively distilled: 2 to 8 steps without guidance",
         "",
         "lightning",
         {.steps = 4, .guidance = 1, .image_guidance = 1, .sampler = "euler", .strength = 0.6},
         true},
        {"hyper",
         "trajectory distilled: 1 to 8 steps without guidance",
         "TCDScheduler",
         "hyper",
         {.steps = 8, .guidance = 1, .image_guidance = 1, .sampler = "tcd", .strength = 0.6},
         true},
    }};
    return rows;
}

bool named_in(const std::string& file_name, std::string part) {
    const auto same = [](char a, char b) {
        return std::tolower(static_cast<unsigned char>(a)) == b;
    };
    return std::search(file_name.begin(), file_name.end(), part.begin(), part.end(), same) !=
           file_name.end();
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
    throw Error(model,
                c10::str("the unet takes ", unet.in_channels, " channels for latents of ",
                         latent_channels, ", which is no family that weft runs"),
                "weft runs " + known);
}

const Variant* find_variant(const VariantSigns& signs) {
    const auto named = [&](const Variant& variant) {
        const bool by_scheduler =
            variant.scheduler_class[0] != '\0' && signs.scheduler_class == variant.scheduler_class;
        return by_scheduler || named_in(signs.file_name, variant.file_name_part);
    };
    if (signs.guidance_input)
        return variants().data();
    const auto found = std::find_if(variants().begin(), variants().end(), named);
    if (found != variants().end())
        return &*found;
    // All that a folder of SD or SDXL Turbo says.
    return signs.trailing ? &variants()[1] : nullptr;
}

}  // namespace weft
