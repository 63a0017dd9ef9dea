#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>

#include "diffusion/coupling.h"
#include "diffusion/unet_config.h"

namespace weft {

/// How many tokens of a self-attention are merged, and which stay (token merging for Stable
/// Diffusion, Bolya and Hoffman, arXiv 2303.17604). Approximate; a value.
struct TokenMerge {
    /// [0, 0.75] the share of tokens that are merged into others; 0 switches it off.
    double ratio = 0;
    /// N(0,1) numbers of a shape for the n-th call of the denoiser, counted from 0: they choose the
    /// token of each 2x2 block that others are merged into. All frames of a clip must be given the
    /// same, or what is lost changes from frame to frame. Not set: the first of each block.
    std::function<torch::Tensor(int64_t call, torch::IntArrayRef shape)> noise = {};
};

/// Refuses (UsageError) a ratio outside [0, 0.75].
void check(const TokenMerge& merge);

/// The tokens [h * w] of a map that others may be merged into, one of each whole 2x2 block, and all
/// others. Each i64, ascending.
struct MergePlaces {
    torch::Tensor kept;   // [(h / 2) * (w / 2)]
    torch::Tensor loose;  // the rest
};

/// @param corner [h / 2, w / 2] i64 in 0..3: the token of each block, row by row; none where a side
/// is 1
MergePlaces merge_places(int64_t height, int64_t width, const torch::Tensor& corner);

/// Which tokens of n rows become one: of the loose tokens those that are most like a kept one,
/// by the cosine, become part of it. Immutable.
class MergedTokens {
  public:
    /// @param states [n, t, d] what is compared
    /// @param count tokens that are merged away in each row, at most as many as are loose
    MergedTokens(const torch::Tensor& states, const MergePlaces& places, int64_t count);

    /// [n, t, d] -> [n, t - count, d], means of what is merged
    torch::Tensor merged(const torch::Tensor& tokens) const;
    /// [n, t - count, d] -> [n, t, d]: merged tokens get what the token they are part of got.
    torch::Tensor unmerged(const torch::Tensor& tokens) const;

  private:
    // Rows of the flattened tokens; "short" is [n * (t - count)], "long" is [n * t].
    torch::Tensor stays_;  // [short] of long: what each starts from
    torch::Tensor goes_;   // [n * count] of long: what is merged away
    torch::Tensor into_;   // [n * count] of short: where to
    torch::Tensor from_;   // [long] of short: where each is found again
    torch::Tensor size_;   // [short, 1] how many tokens each stands for
};

/// Merges the tokens of the self-attentions of a network's finest level that has any, before they
/// are handed on, and spreads the answers. Unlike the authors' code, which compares the states
/// before a block's norm, tokens are compared by what the attention sees. For one network call.
class TokenMerging : public Coupling {
  public:
    /// @param share [0, 0.75] of tokens that are merged away
    /// @param places of the finest level's map; outlive this
    /// @param inner what the merged tokens are handed to; null: the attention alone
    TokenMerging(double share, const MergePlaces& places, Coupling* inner);

    torch::Tensor attend(const Attention& attention, const torch::Tensor& states) override;
    bool takes_features(const std::string& site) const override;
    torch::Tensor features(const std::string& site, const torch::Tensor& map) override;

  private:
    double share_;
    const MergePlaces& places_;
    Coupling* inner_;
};

/// Height and width of a map.
struct MapSize {
    int64_t height = 0;
    int64_t width = 0;
};

/// The finest map that a network attends over. (As published for Stable Diffusion, where it is the
/// latents' own; SDXL first attends at half their size.)
MapSize finest_attention(const UnetConfig& config, MapSize latent);

/// The places of a call of the denoiser, on the CPU.
MergePlaces draw_places(const TokenMerge& merge, int64_t call, const MapSize& map);

}  // namespace weft
