#pragma once

#include <torch/types.h>

#include <memory>
#include <string>

#include "diffusion/channel_affine.h"
#include "diffusion/low_rank.h"
#include "diffusion/packed_conv.h"
#include "io/files/weights.h"

namespace weft {

/// Elementwise non-linearities by the names of diffusers' and transformers' configs.
enum class Activation { silu, gelu, quick_gelu, relu, mish };

/// The activation called `name` ("silu", "swish", "gelu", "quick_gelu", "relu", "mish"); any other
/// name is an Error that quotes `where`.
Activation activation_named(const std::string& name, const std::string& where);
torch::Tensor activate(const torch::Tensor& x, Activation activation);
/// The same, in place where gradients allow it.
torch::Tensor activate(torch::Tensor&& x, Activation activation);

// Note [Layers]
// A layer is made from the Weights scope that holds its "weight" and "bias": in load mode a layer
// that exists is loaded, in create mode it is initialised and registered for training. Layers hold
// tensors only, are immutable and thread-safe, and work in any floating dtype, under autograd and
// autocast. Four-dimensional weights are kept channels-last, so that convolutions run and answer
// channels-last. Loaded weights are packed where the CPU gains by it (Note [Packed weights]). A
// LoRA may run beside a loaded linear layer or convolution (Note [LoRAs beside the layers]).

struct LinearOptions {
    bool bias = true;
    Init init = {};
    /// The weight is stored as a 1x1 convolution, [out, in, 1, 1].
    bool pointwise = false;
};

/// y = x W^T + b over the last dimension.
class Linear {
  public:
    Linear(const Weights& weights, int64_t in, int64_t out, const LinearOptions& options = {});
    /// [..., in] -> [..., out], plus `added` [..., out] where it is given.
    torch::Tensor operator()(const torch::Tensor& x, const torch::Tensor& added = {}) const;

  private:
    torch::Tensor run(const torch::Tensor& x, const torch::Tensor& added) const;

    torch::Tensor weight_;
    torch::Tensor bias_;
    std::shared_ptr<const LowRank> beside_;  // null: none
};

/// value(x) * gelu(gate(x)), the gated GELU (Shazeer 2020, "GLU variants"). One weight "weight"
/// [2 out, in] and "bias" hold the value's rows, then the gate's.
class Geglu {
  public:
    Geglu(const Weights& weights, int64_t in, int64_t out);
    /// [..., in] -> [..., out]
    torch::Tensor operator()(const torch::Tensor& x) const;

  private:
    torch::Tensor joined(const torch::Tensor& x) const;

    torch::Tensor weight_;        // plain; undefined where the halves are packed
    torch::Tensor value_, gate_;  // packed
    torch::Tensor bias_;
    std::shared_ptr<const LowRank> beside_;  // null: none
};

struct Conv2dOptions {
    int64_t kernel = 3;
    int64_t stride = 1;
    /// Zeros on each side; -1 is (kernel - 1) / 2, which keeps the size at stride 1.
    int64_t padding = -1;
    bool bias = true;
    Init init = {};
};

class Conv2d {
  public:
    Conv2d(const Weights& weights, int64_t in, int64_t out, const Conv2dOptions& options = {});
    /// [n, in, h, w] -> [n, out, h', w'], plus `added` of that shape where it is given.
    torch::Tensor operator()(const torch::Tensor& x, const torch::Tensor& added = {}) const;
    /// The same with `shift` [out] on top of the bias.
    torch::Tensor shifted(const torch::Tensor& x, const torch::Tensor& shift) const;
    /// out += conv(x) where x already has its rows of padding; `out` [n, out, h', w'] is
    /// channels-last and may be a view of whole rows of one frame. No gradients.
    void add_rows(torch::Tensor& out, const torch::Tensor& x) const;

    int64_t out_channels() const { return out_channels_; }

  private:
    torch::Tensor run(const torch::Tensor& x, const torch::Tensor& bias,
                      const torch::Tensor& added) const;
    torch::Tensor with_branch(const torch::Tensor& y, const torch::Tensor& x) const;
    torch::Tensor plain_weight() const;

    torch::Tensor weight_;  // plain, or of one pixel and packed as a linear layer's, [out, in]
    PackedConv2d packed_;   // in its place where larger kernels are packed
    torch::Tensor bias_;
    int64_t stride_;
    int64_t padding_;
    int64_t out_channels_;
    std::shared_ptr<const LowRank> beside_;  // null: none
};

class GroupNorm {
  public:
    GroupNorm(const Weights& weights, int64_t groups, int64_t channels, double eps);
    /// [n, channels, ...], same shape out.
    torch::Tensor operator()(const torch::Tensor& x) const;
    /// The activation of the norm, in one pass where gradients are off.
    torch::Tensor operator()(const torch::Tensor& x, Activation activation) const;
    /// What the norm comes to for x [n, channels, h, w]: norm(x) = scale * x + shift.
    ChannelAffine affine(const torch::Tensor& x) const;

  private:
    torch::Tensor weight_;
    torch::Tensor bias_;
    int64_t groups_;
    double eps_;
};

class LayerNorm {
  public:
    LayerNorm(const Weights& weights, int64_t width, double eps = 1e-5);
    /// [..., width], same shape out.
    torch::Tensor operator()(const torch::Tensor& x) const;

  private:
    torch::Tensor weight_;
    torch::Tensor bias_;
    int64_t width_;
    double eps_;
};

class Embedding {
  public:
    Embedding(const Weights& weights, int64_t count, int64_t width,
              Init init = {Init::Kind::normal, 0.02});
    /// ids [...] i64 in [0, count) -> [..., width]
    torch::Tensor operator()(const torch::Tensor& ids) const;

    /// The whole table, [count, width].
    const torch::Tensor& table() const { return weight_; }

  private:
    torch::Tensor weight_;
};

/// Sines and cosines of positions at geometrically spaced frequencies (Vaswani 2017, section 3.5).
struct SinusoidOptions {
    /// Cosines first (what Stable Diffusion uses).
    bool flip_sin_to_cos = true;
    /// The last of the dim/2 frequencies is 10000^(-(dim/2 - 1)/(dim/2 - freq_shift)).
    double freq_shift = 0;
};

/// positions [n] of any dtype -> [n, dim] f32; an odd dim ends in a zero.
torch::Tensor sinusoids(const torch::Tensor& positions, int64_t dim,
                        const SinusoidOptions& options = {});

}  // namespace weft
