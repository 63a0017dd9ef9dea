#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>

#include "temporal/brightness.h"
#include "temporal/flow.h"
#include "temporal/sampling.h"

namespace weft {

// Note [Propagation]
// A frame between two key frames is made from their edits alone: each edit is pulled once, along
// the flow that leads from the frame straight to its key, never from frame to frame, so blur does
// not build up and colours cannot drift. Where both keys are seen and agree, they are mixed by
// distance, so that the clip passes through both edits without a jump. Where they disagree, a mean
// would show both; there the nearer and better explained one takes over, within a few frames where
// the flow may be misled, more slowly where only brush strokes differ. Seams between regions of
// different donors are soft.

/// A key frame that another frame is made from.
struct Donor {
    torch::Tensor edited;  // [1, 3, h, w] the key frame's edit
    torch::Tensor source;  // [1, 3, h, w] the key frame itself
    FlowField way;         // on the frame, leads to the key; valid where it can be trusted
    double distance = 0;   // frames between them, > 0
};

/// How donors are mixed. The defaults suit pictures of a few hundred pixels a side.
struct PropagateOptions {
    /// How edits are read between their pixels.
    Sampling sampling = Sampling::bicubic;

    /// How much of a slow change of the source's brightness between key and frame (exposure, a
    /// shadow passing) is carried over to the edit, in [0, 1]. The ratio of the local means of luma
    /// multiplies the edit's colours, bounded by `brightness.most_gain`. It is 1 at the key itself.
    double carry = 1;
    BrightnessOptions brightness = {};

    /// Pixels over which a donor fades in beside where it is not valid.
    int64_t seam_px = 4;
    /// Mean absolute difference in [0, 1] between frame and warped key (after `carry`) at which the
    /// trust in a donor has fallen to 1/e.
    double look = 0.08;

    /// Local means of two donors that differ by less than `agree` are the same thing and mixed;
    /// beyond `differ` they are in conflict. In [0, 1].
    double agree = 0.03;
    double differ = 0.12;
    /// How sharply one of donors in conflict is chosen: weights are raised to this power, >= 1.
    /// `doubted` holds where a donor cannot be trusted: another thing may be in its place.
    /// `trusted` holds where both can: then they are two renderings of one surface, and a dissolve
    /// is calmer than a switch.
    double doubted = 6;
    double trusted = 2;

    /// How much of the contrast that a mean of two different textures loses is given back, in
    /// [0, 1].
    double contrast = 1;
};

/// A frame made from its donors.
struct Propagation {
    torch::Tensor picture;  // [1, 3, h, w]
    torch::Tensor holes;    // [1, 1, h, w] bool: no donor is valid there; the picture is a guess
};

/// Makes the edit of a frame from the edits of key frames, usually the one before and the one after
/// it. See Note [Propagation].
///
/// Weights are validity x likeness x distance: shares by distance are inverse to it (for two keys:
/// linear in time), validity is the mask of `way`, grown by `seam_px` and softened (after Yang et
/// al., "Rerender A Video", SIGGRAPH Asia 2023), likeness falls with the difference between the
/// frame and the warped key. The mix keeps the donors' local variance of detail: what Heitz and
/// Neyret 2018 ("High-performance by-example noise using a histogram-preserving blending operator")
/// do for independent inputs, with the measured variance of the mean in place of the assumed one,
/// so that equal inputs stay as they are.
///
/// About 40 ms for two donors of 512x288 on one core. Deterministic. Thread-safe: yes.
/// @param source [1, 3, h, w] the frame, in [0, 1]
/// @param donors at least one, all of the frame's size
Propagation propagated(const torch::Tensor& source, std::span<const Donor> donors,
                       const PropagateOptions& options = {});

}  // namespace weft
