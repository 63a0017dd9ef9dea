#pragma once

#include <torch/types.h>

#include <memory>
#include <string>

#include "io/files/config.h"
#include "io/files/weights.h"

namespace weft {

/// A diagonal Gaussian over latents; deterministic encoders leave `logvar` undefined.
struct Moments {
    torch::Tensor mean;         // [n, c, h/f, w/f]
    torch::Tensor logvar = {};  // same shape, clamped to [-30, 20], or undefined
};

/// Pictures to latents and back. A diffusion model works on (mean - shift_factor) * scaling_factor;
/// what goes into decode is latent / scaling_factor + shift_factor. Inference is const and
/// thread-safe.
class Autoencoder {
  public:
    Autoencoder(const Autoencoder&) = delete;
    Autoencoder& operator=(const Autoencoder&) = delete;
    virtual ~Autoencoder() = default;

    /// @param image [n, 3, h, w] in [-1, 1]; other sizes than multiples of downscale() are padded
    /// by
    ///              repeating the last row and column
    Moments encode(const torch::Tensor& image) const;
    /// @param latent [n, c, h, w], already divided by scaling_factor and shifted
    /// @return [n, 3, h * f, w * f] around [-1, 1], not clamped; see cropped()
    torch::Tensor decode(const torch::Tensor& latent) const;

    double scaling_factor() const { return traits_.scaling_factor; }

    double shift_factor() const { return traits_.shift_factor; }

    int64_t latent_channels() const { return traits_.latent_channels; }

    /// f, the pixels a latent stands for in each direction.
    int64_t downscale() const { return traits_.downscale; }

  protected:
    struct Traits {
        int64_t latent_channels = 4;
        int64_t downscale = 8;
        double scaling_factor = 1.0;
        double shift_factor = 0.0;
    };

    explicit Autoencoder(const Traits& traits) : traits_(traits) {}

  private:
    /// `image` is a multiple of downscale() in both directions.
    virtual Moments encode_whole(const torch::Tensor& image) const = 0;
    virtual torch::Tensor decode_whole(const torch::Tensor& latent) const = 0;

    Traits traits_;
};

/// The autoencoder that `_class_name` of a vae/config.json names: AutoencoderKL, AutoencoderTiny or
/// PatchAutoencoder. An unknown class, an unsupported value or weights that do not fit are Errors.
std::unique_ptr<Autoencoder> make_autoencoder(const Config& config, const Weights& weights);

/// Repeats the last column and row of [n, c, h, w] until both sizes are multiples of `multiple`.
torch::Tensor padded(const torch::Tensor& image, int64_t multiple);
/// The top left [.., height, width] of a picture: undoes padded().
torch::Tensor cropped(const torch::Tensor& image, int64_t height, int64_t width);

}  // namespace weft
