#pragma once

#include <torch/types.h>

#include <optional>
#include <string>
#include <utility>

#include "diffusion/coupling.h"
#include "diffusion/layers.h"
#include "diffusion/phase_conv.h"
#include "diffusion/stripes.h"

namespace weft {

struct ResnetShape {
    int64_t in = 0;
    int64_t out = 0;
    /// Width of the time embedding; 0 where there is none (autoencoders).
    int64_t time = 0;
    int64_t norm_groups = 32;
    double norm_eps = 1e-5;
    Activation activation = Activation::silu;
    /// The time embedding scales and shifts after the second norm (config value "scale_shift")
    /// instead of being added before it.
    bool scale_shift = false;
};

/// The residual block of diffusion UNets and autoencoders (Ho 2020, appendix B). Names: norm1,
/// conv1, time_emb_proj, norm2, conv2, conv_shortcut. In create mode conv2 starts at zero, so that
/// the block starts as its shortcut. Immutable, thread-safe.
class ResnetBlock2D {
  public:
    ResnetBlock2D(const Weights& weights, const ResnetShape& shape);
    /// x [n, in, h, w], time [n, time] (undefined where shape.time is 0) -> [n, out, h, w];
    /// `coupling`, if there is one, may change what is added to the shortcut.
    torch::Tensor operator()(const torch::Tensor& x, const torch::Tensor& time = {},
                             Coupling* coupling = nullptr) const;
    /// The same for one frame, stripe by stripe (Note [Stripes]): beside x only one map is held.
    /// x [1, in, h, w] is used up. For blocks without a time embedding; no gradients.
    torch::Tensor in_stripes(torch::Tensor x, const Stripes& stripes) const;

  private:
    torch::Tensor first_half(const torch::Tensor& x, const torch::Tensor& embedded) const;

    std::string site_;
    Activation activation_;
    bool scale_shift_;
    GroupNorm norm1_;
    Conv2d conv1_;
    std::optional<Linear> time_emb_proj_;
    GroupNorm norm2_;
    Conv2d conv2_;
    std::optional<Conv2d> conv_shortcut_;
};

/// Halves the size with a stride-2 convolution named "conv"; odd sizes round up.
class Downsample2D {
  public:
    enum class Padding {
        both_sides,        // one zero all around (UNet)
        right_and_bottom,  // one zero after (AutoencoderKL); odd sizes round down
    };
    Downsample2D(const Weights& weights, int64_t channels, Padding padding);
    torch::Tensor operator()(const torch::Tensor& x) const;
    /// The same for one frame, stripe by stripe; for Padding::right_and_bottom, no gradients.
    torch::Tensor in_stripes(const torch::Tensor& x, const Stripes& stripes) const;

  private:
    Padding padding_;
    Conv2d conv_;
};

/// Nearest-neighbour enlargement and a convolution named "conv". Where weights are packed, doubling
/// is computed on the small map: see Note [Phases].
class Upsample2D {
  public:
    using Size = std::pair<int64_t, int64_t>;  // height, width

    Upsample2D(const Weights& weights, int64_t channels);
    /// Without a size the picture doubles.
    torch::Tensor operator()(const torch::Tensor& x, std::optional<Size> size = {}) const;
    /// Doubles one frame stripe by stripe; no gradients.
    torch::Tensor in_stripes(const torch::Tensor& x, const Stripes& stripes) const;

  private:
    /// Doubles rows of x that stand between one row of their surroundings on each side.
    torch::Tensor doubled_rows(const torch::Tensor& x) const;

    std::optional<Conv2d> conv_;            // where weights are not packed
    std::optional<PhaseConv2d> by_phases_;  // where they are
};

}  // namespace weft
