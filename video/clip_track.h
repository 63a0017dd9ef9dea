#pragma once

#include <torch/types.h>

#include <cstdint>

#include "diffusion/clip_vision.h"

namespace weft {

/// What CLIP says about a clip; cosines.
struct ClipScores {
    double text = 0;        // mean of frame against prompt (CLIP-T)
    double all_pairs = 0;   // mean over all pairs of different frames, projected (CLIP-F, TGVE)
    double neighbours = 0;  // mean over neighbours, projected (CLIP-F, Rerender, StreamV2V)
    double pooled = 0;      // neighbours, not projected, not below 0 (V2VBench)
};

/// Collects ClipScores frame by frame in constant memory. Thread-safe: no.
class ClipTrack {
  public:
    /// `scorer` must outlive this. @param text as ClipScorer::text gives it
    ClipTrack(const ClipScorer& scorer, torch::Tensor text);

    /// The next frame, [1, 3, h, w] in [0, 1].
    void add(const torch::Tensor& picture);
    /// Of the frames so far; what needs two frames is 0 for one.
    ClipScores scores() const;

  private:
    const ClipScorer* scorer_;
    torch::Tensor text_;
    int64_t frames_ = 0;
    torch::Tensor sum_;  // of embeddings
    torch::Tensor last_embeds_;
    torch::Tensor last_pooled_;
    double text_sum_ = 0;
    double neighbour_sum_ = 0;
    double pooled_sum_ = 0;
};

}  // namespace weft
