#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <span>

#include "temporal/noise.h"

namespace weft {

/// A picture whose edit is known.
struct Exemplar {
    torch::Tensor source;  // [1, 3, h, w] in [0, 1]
    torch::Tensor edited;  // [1, 3, h, w]
};

/// A picture whose edit is known but for its holes.
struct HoledEdit {
    torch::Tensor source;   // [1, 3, h, w] in [0, 1]
    torch::Tensor picture;  // [1, 3, h, w] its edit; a guess in the holes
    torch::Tensor holes;    // [1, 1, h, w] bool
};

/// How holes are filled.
struct PatchFillOptions {
    /// Weight of the source's colours beside the edit's, a whole number in [0, 128].
    int guide = 2;
    /// Sizes, each half the one before; the coarsest has at least 32 pixels a side.
    int64_t levels = 4;
    /// Rounds of search and vote at each size, and searches a round. The last size, which costs
    /// more than all others together, starts from what they found.
    int64_t rounds = 3;
    int64_t last_rounds = 1;
    int64_t searches = 3;
};

/// Fills the holes of edits with what the exemplars' edits show where their sources look the same,
/// and leaves the other pixels as they are.
///
/// Every hole pixel gets the 5x5 patch of an exemplar with the least sum of squared differences of
/// source colours (what should be there) and edited colours (what fits in with the pixels around),
/// found by PatchMatch (Barnes et al., SIGGRAPH 2009): neighbours' matches moved along, and random
/// places in halving circles. Its colour is the mean of all patches that cover it, the better ones
/// counting more. From coarse to fine, as in image analogies and their descendants (Hertzmann et
/// al. 2001; Fiser et al., "StyLit", 2016). Pixels take turns like the fields of a chess board, and
/// random places come from a NoiseKey, so the result depends on nothing else. One thread a call.
///
/// Time goes with the number of hole pixels. Thread-safe: yes.
class PatchFiller {
  public:
    /// @param exemplars at least one, all of one size, which may differ from the pictures'; read
    /// here and not kept
    explicit PatchFiller(std::span<const Exemplar> exemplars, const PatchFillOptions& options = {});

    /// @return [1, 3, h, w]
    torch::Tensor operator()(const HoledEdit& edit, const NoiseKey& key) const;

  private:
    struct Sizes;

    PatchFillOptions options_;
    std::shared_ptr<const Sizes> sizes_;
};

}  // namespace weft
