#include "diffusion/train/train.h"

#include <ATen/Context.h>

#include <fstream>

#include "diffusion/tokenizer_training.h"
#include "diffusion/train/model_card.h"
#include "diffusion/train/pairs.h"
#include "diffusion/train/styles.h"
#include "diffusion/train/train_autoencoder.h"
#include "diffusion/train/train_unet.h"
#include "io/files/model_folder.h"

namespace weft {
namespace {

Tokenizer train_tokenizer(const Recipe& recipe, const std::filesystem::path& folder,
                          const TrainOptions& options) {
    if (!options.init.empty()) {
        const std::filesystem::path known =
            ModelFolder(options.init).file("tokenizer", "vocab.json").parent_path();
        std::filesystem::copy(known, folder / "tokenizer",
                              std::filesystem::copy_options::overwrite_existing |
                                  std::filesystem::copy_options::recursive);
        return Tokenizer::read(folder / "tokenizer");
    }
    const LearnedBpe bpe = learn_bpe(sample_captions(recipe.seed, 20000), recipe.text.merges);
    std::filesystem::create_directories(folder / "tokenizer");
    save_tokenizer(bpe, folder / "tokenizer");
    return make_tokenizer(bpe);
}

constexpr const char* model_index = R"({
  "_class_name": "StableDiffusionInstructPix2PixPipeline",
  "_diffusers_version": "0.37.0",
  "feature_extractor": [null, null],
  "image_encoder": [null, null],
  "requires_safety_checker": false,
  "safety_checker": [null, null],
  "scheduler": ["diffusers", "DDIMScheduler"],
  "text_encoder": ["transformers", "CLIPTextModel"],
  "tokenizer": ["transformers", "CLIPTokenizer"],
  "unet": ["diffusers", "UNet2DConditionModel"],
  "vae": ["weft", "PatchAutoencoder"]
}
)";

void write_defaults(const Recipe& recipe, const std::filesystem::path& folder) {
    std::ofstream(folder / "model_index.json") << model_index;
    std::ofstream out(folder / "weft.json");
    out << "{\n  \"steps\": " << recipe.steps << ",\n  \"guidance\": " << recipe.guidance
        << ",\n  \"generation_steps\": " << recipe.generation_steps
        << ",\n  \"generation_guidance\": " << recipe.generation_guidance
        << ",\n  \"image_guidance\": 1.0,\n  \"sampler\": \"ddim\",\n  \"native_size\": "
        << recipe.native_size << ",\n  \"edit_size\": " << recipe.edit_size << ",\n  \"words\": [";
    const char* separator = "";
    for (const StyleEntry& style : styles()) {
        out << separator << '"' << style.name << '"';
        separator = ", ";
    }
    out << "]\n}\n";
}

}  // namespace

void train(const Recipe& recipe, const std::filesystem::path& folder, const TrainOptions& options) {
    // The fused kernel's backward pass is slower than plain products on the short sequences of
    // training.
    if (options.placement.device.is_cpu()) {
        at::globalContext().setSDPUseFlash(false);
    }
    std::filesystem::create_directories(folder / "training" / "sheets");
    const Tokenizer tokenizer = train_tokenizer(recipe, folder, options);
    const TrainedAutoencoder trained = train_autoencoder(recipe, folder, options);
    train_unet(recipe, folder, options, trained, tokenizer);
    write_defaults(recipe, folder);
    write_model_card(recipe, folder, options);
}

}  // namespace weft
