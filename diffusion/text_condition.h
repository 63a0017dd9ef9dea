#pragma once

#include <torch/types.h>

#include <vector>

namespace weft {

/// What a network is told of n texts. A tensor with 1 in the first dimension serves all frames.
struct TextCondition {
    torch::Tensor states = {};    // [n, t, d] what the UNet's cross attention sees
    torch::Tensor pooled = {};    // [n, p] one vector a text; SDXL only
    torch::Tensor time_ids = {};  // [n, 6 or 5] sizes, crop, score; SDXL only: see size_ids
    /// [n, k] strengths of the model's k LoRAs on top of their weights, where they are unmerged,
    /// for everything that is run for these rows; undefined: 1.
    torch::Tensor loras = {};

    bool defined() const { return states.defined(); }

    int64_t size() const { return states.size(0); }

    /// These rows, in this order; `index` [m] i64.
    TextCondition rows(const torch::Tensor& index) const;
    /// n rows out of 1 or n. Undefined stays undefined.
    TextCondition expanded(int64_t n) const;
    /// Parts one after another; all have the same members and lengths.
    static TextCondition cat(const std::vector<TextCondition>& parts);
};

/// SDXL's micro-conditioning (Podell et al., arXiv 2307.01952, section 2.2) for a picture that
/// fills its canvas: [height, width, 0, 0, height, width] in pixels, or, with a score (the
/// refiner's 1 to 10), [height, width, 0, 0, score]. -> [1, 6 or 5] f32
torch::Tensor size_ids(int64_t height_px, int64_t width_px);
torch::Tensor size_and_score_ids(int64_t height_px, int64_t width_px, double aesthetic_score);

}  // namespace weft
