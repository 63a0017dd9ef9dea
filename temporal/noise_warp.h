#pragma once

#include <torch/types.h>

#include "temporal/flow.h"
#include "temporal/noise.h"

namespace weft {

// Note [Moving noise]
// Noise that is to move with a scene cannot be interpolated like a picture: a mean of neighbours
// has less variance than they have and depends on the pixels around it, and a diffusion model
// answers with blur. Both ways here instead cut the noise of each source pixel into pieces that are
// independent of each other and sum up to it (conditional white noise), hand the pieces to target
// pixels, and divide each target by the length of what it got. Every piece goes to one target, so
// the result is white again: exactly N(0,1) and independent from pixel to pixel. Targets that get
// nothing take fresh noise. All draws come from a NoiseKey and pieces are handed out in the order
// of the pixels, so the result depends on nothing else. On the CPU, in one thread.

/// Motion between two neighbouring frames of one size, both ways; n = 1.
struct FlowPair {
    FlowField backward;  // on the later frame, to the earlier one
    FlowField forward;   // on the earlier frame, to the later one
};

/// What a warp needs beside the noise.
struct NoiseWarpDraws {
    NoiseKey pieces;      // of the numbers that cut pixels apart; a stream used for nothing else
    torch::Tensor fresh;  // [c, h, w] for targets that get nothing
};

/// Noise on its way through a clip.
struct MovingNoise {
    torch::Tensor noise;    // [c, h, w] float32, N(0,1)
    torch::Tensor density;  // [h, w] float32, > 0: how much of the first frame's noise lies here
};

/// Noise as it starts out, of density 1.
MovingNoise at_rest(const torch::Tensor& noise);

/// One frame on, by particles (Deng et al., "Infinite-Resolution Integral Noise Warping for
/// Diffusion Models", ICLR 2025, algorithm 2): each target pixel asks the four source pixels around
/// the place it comes from for shares of their area, and each source pixel is a Brownian bridge
/// that is cut at the cumulated shares. Keeps sub-pixel motion; identity flow gives the same noise
/// and whole-pixel flow an exact shift. Uses the backward flow; density stays as it is.
MovingNoise warp_by_particles(const MovingNoise& from, const FlowPair& flow,
                              const NoiseWarpDraws& draws);

/// One frame on, by transport (Burgert et al., "Go-with-the-Flow", CVPR 2025, algorithm 1): source
/// pixels move to the nearest pixel of their forward flow, targets not reached ask the nearest
/// pixel of their backward flow, and pieces meet weighted by their density. Faster than particles;
/// motion below half a pixel is lost, so it suits a grid finer than the noise that is wanted.
MovingNoise warp_by_transport(const MovingNoise& from, const FlowPair& flow,
                              const NoiseWarpDraws& draws);

}  // namespace weft
