#pragma once

#include <torch/types.h>

#include <optional>
#include <vector>

#include "diffusion/attention.h"
#include "diffusion/resnet.h"

namespace weft {

/// One level of the UNet as its blocks see it.
struct UnetLevel {
    int64_t layers = 1;    // residual blocks
    bool attends = false;  // a transformer after each residual block
    bool resizes = false;  // ends in a down- or upsampler
    /// `in` is the level's input; the rest holds for all of its blocks.
    ResnetShape resnet = {};
    TransformerShape transformer = {};
};

/// What every block of one network call sees.
struct UnetState {
    torch::Tensor time;  // [n, time]
    TransformerContext context;
};

/// Feature maps passed from the way down to the way up; the last one is used first.
using Skips = std::vector<torch::Tensor>;

/// DownBlock2D and CrossAttnDownBlock2D.
class UnetDownBlock {
  public:
    UnetDownBlock(const Weights& weights, const UnetLevel& level);
    /// Returns the level's output and pushes every intermediate map onto `skips`.
    torch::Tensor operator()(torch::Tensor x, const UnetState& state, Skips& skips) const;
    /// Layer `i` alone: a residual block and its transformer.
    torch::Tensor layer(size_t i, const torch::Tensor& x, const UnetState& state) const;

  private:
    std::vector<ResnetBlock2D> resnets_;
    std::vector<Transformer2DModel> attentions_;
    std::optional<Downsample2D> downsampler_;
};

/// UNetMidBlock2DCrossAttn, or without attention the single residual block of UNetMidBlock2D.
class UnetMidBlock {
  public:
    UnetMidBlock(const Weights& weights, const UnetLevel& level);
    torch::Tensor operator()(torch::Tensor x, const UnetState& state) const;

  private:
    std::vector<ResnetBlock2D> resnets_;
    std::vector<Transformer2DModel> attentions_;
};

/// UpBlock2D and CrossAttnUpBlock2D.
class UnetUpBlock {
  public:
    /// @param skip_channels channels of the skip that each residual block joins, in order
    UnetUpBlock(const Weights& weights, const UnetLevel& level,
                const std::vector<int64_t>& skip_channels);
    /// Pops one skip a residual block. The output grows to the size of the next skip, if one is
    /// left.
    torch::Tensor operator()(torch::Tensor x, const UnetState& state, Skips& skips) const;
    /// Layers [first, last) alone, each of which pops its skip.
    torch::Tensor layers(size_t first, size_t last, torch::Tensor x, const UnetState& state,
                         Skips& skips) const;

    size_t layer_count() const { return resnets_.size(); }

  private:
    std::vector<ResnetBlock2D> resnets_;
    std::vector<Transformer2DModel> attentions_;
    std::optional<Upsample2D> upsampler_;
};

}  // namespace weft
