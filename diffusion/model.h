#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/adapter_choice.h"
#include "diffusion/denoise.h"
#include "diffusion/device.h"
#include "diffusion/noise_levels.h"
#include "diffusion/samplers.h"
#include "diffusion/tokenizer.h"

namespace weft {

/// What a run uses where the user says nothing.
struct ModelDefaults {
    int64_t steps = 20;
    double guidance = 7.5;
    double image_guidance = 1;  // source-conditioned models only
    std::string sampler = "dpmpp_2m";
    double strength = 1;
    // From text alone; not set: as for edits.
    std::optional<int64_t> generation_steps = {};
    std::optional<double> generation_guidance = {};
};

/// What a denoiser is fed beside the noisy latents.
enum class Beside {
    nothing,
    source,          // latents of the source picture (InstructPix2Pix)
    mask,            // a mask and the latents of the picture under it (inpainting)
    depth,           // a depth map
    low_resolution,  // a small picture of the latents' size, in pixels (upscaler)
};

/// What a model is, as far as planning a run needs to know.
struct ModelTraits {
    std::string name;     // the folder's name
    std::string family;   // name of its row in families.cpp
    std::string variant;  // "lcm", "turbo", ...: distilled to few steps; empty for most
    Beside beside = Beside::nothing;
    int64_t latent_channels = 4;
    int64_t downscale = 8;      // pixels per latent, each way; sizes must be multiples of it ...
    int64_t size_multiple = 8;  // ... and of this (downscale times the UNet's own halvings)
    bool source_conditioned = false;  // takes the source's latents as an input (InstructPix2Pix)
    Prediction prediction = Prediction::epsilon;
    int64_t native_size = 512;    // side in pixels it was trained at; what it generates
    int64_t edit_size = 0;        // longer side in pixels that edits run at; 0: native_size
    int64_t text_width = 768;     // d of encode_text
    bool pooled_text = false;     // also told one vector a text and the picture's size (SDXL)
    bool guidance_input = false;  // guidance is told to the network, one branch runs (LCM)
    ModelDefaults defaults;
    std::vector<std::string> words;  // style and object words it knows; empty: not told
};

/// What overrides a model's own configs, and what is added to it.
struct ModelOptions {
    std::optional<Prediction> prediction = {};
    std::filesystem::path vae = {};                // another autoencoder; see with_vae
    std::vector<LoraChoice> loras = {};            // applied while loading, in this order
    std::vector<EmbeddingChoice> embeddings = {};  // words that prompts may use
    int64_t clip_skip = 1;                         // see TextOptions
};

/// A latent diffusion model ready to run: tokenizer, text encoder, denoiser, autoencoder, schedule.
/// Inputs may be on any device; results are f32 on the model's device. Gradients are off inside.
/// Thread-safe: yes (immutable; calls share LibTorch's thread pool).
class DiffusionModel {
  public:
    /// Loads a diffusers folder or a single-file checkpoint. Error, with the way out, for a missing
    /// one, a pickle, a family weft does not know, or a component that does not fit.
    static std::shared_ptr<const DiffusionModel> load(const std::filesystem::path& path,
                                                      const DeviceChoice& device = {},
                                                      const ModelOptions& options = {});
    /// Traits alone: reads the configs, no weights.
    static ModelTraits read_traits(const std::filesystem::path& path,
                                   const ModelOptions& options = {});

    ~DiffusionModel();
    DiffusionModel(const DiffusionModel&) = delete;
    DiffusionModel& operator=(const DiffusionModel&) = delete;

    const ModelTraits& traits() const;
    const Schedule& schedule() const;
    /// The noise of an upscaler's small picture; nullptr for other models.
    const Schedule* low_resolution_schedule() const;
    const Tokenizer& tokenizer() const;
    const Placement& placement() const;
    /// What a user should know of the options: layers of LoRAs that the model does not have.
    const std::vector<std::string>& notes() const;

    /// What the UNet is told of n texts: states [n, 77, text_width] and, for SDXL, pooled vectors.
    /// @param loras [1 or n, k] f32: strengths of the options' k LoRAs on top of their weights, in
    ///        the text encoder and in whatever runs under the condition; merged LoRAs ignore
    ///        theirs. Undefined: 1. A prompt and its negative one need the same.
    TextCondition encode_text(const std::vector<std::string>& texts,
                              const torch::Tensor& loras = {}) const;
    /// The same for negative prompts; SDXL base is told zeros where one is empty.
    TextCondition encode_negative(const std::vector<std::string>& texts,
                                  const torch::Tensor& loras = {}) const;
    /// image [n, 3, h, w] RGB in [0, 1], h and w multiples of downscale -> latents
    /// [n, latent_channels, h/downscale, w/downscale]: the mean of the posterior times
    /// scaling_factor.
    torch::Tensor encode(const torch::Tensor& image) const;
    /// latents as encode gives them -> image [n, 3, h, w] clamped to [0, 1].
    torch::Tensor decode(const torch::Tensor& latents) const;
    /// The guided denoiser for one batch of frames; it keeps the model alive. Error where the model
    /// needs an input that `conditioning.beside` lacks.
    Denoise denoise(const Conditioning& conditioning) const;
    /// The steps of `sampler` on this model's schedule.
    std::vector<NoiseStep> levels(const Sampler& sampler, int64_t steps, double strength = 1,
                                  std::optional<Spacing> spacing = {}) const;

  private:
    struct Parts;
    explicit DiffusionModel(std::shared_ptr<const Parts> parts);
    std::shared_ptr<const Parts> parts_;
};

/// Folders in which models are looked up by name, in order: $WEFT_MODELS (':' between folders),
/// share/weft/models beside the program's folder, `built_in`. Those that do not exist are left out.
std::vector<std::filesystem::path> model_shelves(const std::filesystem::path& program,
                                                 const std::filesystem::path& built_in);

/// `name` itself where it is a path that exists, else the first shelf's folder of that name or its
/// NAME.safetensors. Error listing the models found otherwise.
std::filesystem::path find_model(const std::string& name,
                                 const std::vector<std::filesystem::path>& shelves);

}  // namespace weft
