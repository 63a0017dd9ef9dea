#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace weft {

// Picture operations of the procedural data: shapes are [n, c, h, w], float32, and every picture of
// a batch is treated by itself with element-wise sums only, so that the same picture gives the same
// bits in any batch. Thread-safe: yes.

/// Gaussian blur, `sigma_px` in 0.3..12; edges are replicated. Above 2 px on a reduced copy.
torch::Tensor blurred(const torch::Tensor& x, double sigma_px);

/// Mean over (2 radius + 1)^2 px; edges are replicated.
torch::Tensor mean_around(const torch::Tensor& x, int64_t radius_px);

/// x(row + dy, column + dx); edges are replicated.
torch::Tensor moved(const torch::Tensor& x, int64_t dy, int64_t dx);

/// Each px takes the mean of the calmest of the four squares of `radius_px` + 1 that it is a corner
/// of (Kuwahara et al. 1976): smooths, keeps edges.
torch::Tensor kuwahara(const torch::Tensor& picture, int64_t radius_px);

/// Rec. 709 luma of [n, 3, h, w]: [n, 1, h, w].
torch::Tensor luma(const torch::Tensor& picture);

/// Distance from grey times `amount`, not clamped.
torch::Tensor saturated(const torch::Tensor& picture, double amount);

/// 0 below `low`, 1 above `high`, smooth between (the cubic of GLSL).
torch::Tensor smoothstep(const torch::Tensor& x, double low, double high);

/// One colour per argument, [1, 3, 1, 1].
torch::Tensor colour_of(double red, double green, double blue, const torch::Tensor& like);

/// Uniform 0..1 hashes of (seed of the picture, channel, row, column): [n, c, h, w].
torch::Tensor hashed(const std::vector<uint64_t>& seeds, int64_t channels, int64_t height,
                     int64_t width, const torch::Device& device);

/// How `fractal` looks.
struct FractalShape {
    int64_t base = 3;      // cells along the height in the first octave
    int64_t octaves = 5;   // each with twice the cells
    double gain = 0.55;    // amplitude of an octave relative to the one before
    double stretch = 1.0;  // cells are this much wider than high
};

/// Value noise of several octaves, about 0..1 with mean 0.5: [n, 1, h, w].
torch::Tensor fractal(const std::vector<uint64_t>& seeds, int64_t height, int64_t width,
                      const FractalShape& shape, const torch::Device& device);

}  // namespace weft
