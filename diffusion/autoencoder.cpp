#include "diffusion/autoencoder.h"

#include <array>

#include "diffusion/autoencoder_kl.h"
#include "diffusion/autoencoder_patch.h"
#include "diffusion/autoencoder_tiny.h"
#include "io/files/error.h"

namespace weft {
namespace {

struct AutoencoderEntry {
    const char* class_name;
    std::unique_ptr<Autoencoder> (*make)(const Config&, const Weights&);
};

const std::array<AutoencoderEntry, 3> autoencoder_table = {{
    {"AutoencoderKL",
     [](const Config& config, const Weights& weights) -> std::unique_ptr<Autoencoder> {
         return std::make_unique<AutoencoderKL>(read_autoencoder_kl_config(config), weights);
     }},
    {"AutoencoderTiny",
     [](const Config& config, const Weights& weights) -> std::unique_ptr<Autoencoder> {
         return std::make_unique<AutoencoderTiny>(read_autoencoder_tiny_config(config), weights);
     }},
    {"PatchAutoencoder",
     [](const Config& config, const Weights& weights) -> std::unique_ptr<Autoencoder> {
         return std::make_unique<PatchAutoencoder>(read_patch_autoencoder_config(config), weights);
     }},
}};

}  // namespace

Moments Autoencoder::encode(const torch::Tensor& image) const {
    TORCH_CHECK(image.dim() == 4 && image.size(1) == 3, "an image is [n, 3, h, w], not ",
                image.sizes());
    return encode_whole(padded(image, downscale()));
}

torch::Tensor Autoencoder::decode(const torch::Tensor& latent) const {
    TORCH_CHECK(latent.dim() == 4 && latent.size(1) == latent_channels(), "a latent is [n, ",
                latent_channels(), ", h, w], not ", latent.sizes());
    return decode_whole(latent);
}

std::unique_ptr<Autoencoder> make_autoencoder(const Config& config, const Weights& weights) {
    const std::string name = config.text("_class_name");
    for (const AutoencoderEntry& entry : autoencoder_table) {
        if (name == entry.class_name) {
            return entry.make(config, weights);
        }
    }
    std::string known;
    for (const AutoencoderEntry& entry : autoencoder_table) {
        known += (known.empty() ? "" : ", ") + std::string(entry.class_name);
    }
    throw Error(config.where(), c10::str("unknown autoencoder \"", name, "\""),
                "known are " + known);
}

torch::Tensor padded(const torch::Tensor& image, int64_t multiple) {
    const int64_t bottom = (multiple - image.size(-2) % multiple) % multiple;
    const int64_t right = (multiple - image.size(-1) % multiple) % multiple;
    return bottom == 0 && right == 0 ? image
                                     : torch::replication_pad2d(image, {0, right, 0, bottom});
}

torch::Tensor cropped(const torch::Tensor& image, int64_t height, int64_t width) {
    TORCH_CHECK(height <= image.size(-2) && width <= image.size(-1), "cannot crop ", image.sizes(),
                " to ", height, " x ", width);
    return image.narrow(-2, 0, height).narrow(-1, 0, width);
}

}  // namespace weft
