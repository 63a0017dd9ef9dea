#pragma once

#include <torch/types.h>

#include <span>
#include <string>
#include <vector>

#include "diffusion/noise_levels.h"
#include "diffusion/step_range.h"
#include "diffusion/text_condition.h"
#include "diffusion/unet_config.h"

namespace weft {

/// Source frames on their way into noise, as DDIM inversion found it. Between the levels of the
/// inversion the noise is interpolated. Thread-safe: yes (immutable).
class SourcePath {
  public:
    /// @param clean [n, c, h, w] the source's latents
    /// @param steps those of the inversion, noise first
    /// @param inverted what invert_ddim gives: as many tensors like `clean`, the noisiest last
    SourcePath(torch::Tensor clean, std::span<const NoiseStep> steps,
               const std::vector<torch::Tensor>& inverted);

    /// The source's latents at a level, [n, c, h, w]; beyond the noisiest level of the inversion
    /// with that level's noise.
    torch::Tensor at(const NoiseLevel& level) const;

    int64_t frames() const { return clean_.size(0); }

    /// These frames, in this order; `index` [m] i64.
    SourcePath rows(const torch::Tensor& index) const;

  private:
    // The noise in the source's latents at a level.
    struct Point {
        double t;
        torch::Tensor noise;  // [n, c, h, w]
    };

    torch::Tensor clean_;
    std::vector<Point> points_;  // t rises
};

/// Plug-and-play (Tumanyan et al., arXiv 2211.12572): at every step the inverted source runs along
/// as rows of its own, and the rows of all branches take from their frame's source row the features
/// of some residual blocks and the queries and keys of some self-attentions. See plug_and_play.h.
struct Injection {
    SourcePath source;               // as many frames as the batch
    TextCondition text;              // 1 or n: what the source's rows are told
    std::vector<NoiseStep> steps;    // of the run, noise first
    double features = 0.8;           // share of the steps, from the start, that inject features ...
    double maps = 0.5;               // ... and queries and keys
    std::string feature_sites = {};  // residual blocks, see SiteChoice; empty: injected_features()
    std::string map_sites = {};      // self-attentions, see SiteChoice; empty: injected_maps()
};

// The paper injects features at layer 4 of Stable Diffusion's decoder and attention from layer 4
// to 11. Of any UNet we take, of the first up block that attends (number i), the second residual
// block, and all self-attentions of the way up but the very first. On Stable Diffusion that is
// up_blocks.1.resnets.1, and up_blocks.1.attentions.{1,2}, up_blocks.2 and up_blocks.3.

/// Residual blocks whose features are injected, as words of a SiteChoice.
std::string injected_features(const UnetConfig& config);
/// Self-attentions whose queries and keys are injected, as words of a SiteChoice.
std::string injected_maps(const UnetConfig& config);

}  // namespace weft
