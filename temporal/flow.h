#pragma once

#include <torch/types.h>

namespace weft {

// Note [Flow convention]
// A flow lives on the grid of the picture that is being made (the target) and says, for each of its
// pixels, where that pixel is found in another picture (the source): what is shown at p in the
// target is shown at p + offset(p) in the source. So pictures are pulled, never pushed. Coordinates
// are pixel centres, x to the right and y down, offsets are pixels of the same grid. `backward` is
// the flow on a frame that leads to its predecessor; `forward` lives on the predecessor and leads
// to the frame. All functions here run on the device of their tensors.

/// Where every pixel of n pictures comes from, and whether that can be trusted.
struct FlowField {
    torch::Tensor offset;  // [n, 2, h, w] float, (x, y) in pixels
    torch::Tensor valid;   // [n, 1, h, w] bool

    int64_t height() const { return offset.size(2); }

    int64_t width() const { return offset.size(3); }
};

/// The flow that moves nothing, valid everywhere, [n, 2, h, w].
FlowField identity_flow(int64_t n, int64_t height, int64_t width,
                        const torch::TensorOptions& options = torch::kFloat32);

/// Pulls pictures along a flow: result(p) = source(p + offset(p)), bilinear; beyond the border the
/// border's pixels go on. Invalid pixels are filled all the same; the mask says which.
/// Not for noise or noisy latents: interpolation would make them smoother (see noise_warp.h).
/// @param source [n, c, h, w], any floating type
/// @return [n, c, h, w]
torch::Tensor warp(const torch::Tensor& source, const torch::Tensor& offset);

/// True where p + offset(p) lies on the source's grid, [n, 1, h, w].
torch::Tensor in_bounds(const torch::Tensor& offset);

/// One flow after another: `first` leads from the target to a picture between, `then` from there to
/// the source. Valid where both are, along the whole way.
FlowField compose(const FlowField& first, const FlowField& then);

/// The same motion on another grid: offsets are averaged over the area of a larger pixel, or
/// interpolated between, and scaled. A larger pixel is valid where all of its area is.
FlowField resized(const FlowField& flow, int64_t height, int64_t width);

/// Limits of the checks that decide where a flow holds. Lengths are in pixels, so they suit
/// pictures of a few hundred pixels a side.
struct FlowChecks {
    /// Occluded where |b + f(p + b)|^2 > ratio (|b|^2 + |f|^2) + px2 (Sundaram, Brox and Keutzer
    /// 2010).
    double consistency_ratio = 0.01;
    double consistency_px2 = 0.5;
    /// A motion boundary where |grad b_x|^2 + |grad b_y|^2 > ratio |b|^2 + px2 (same paper).
    double boundary_ratio = 0.01;
    double boundary_px2 = 0.002;
    /// Not the same surface where the mean absolute difference of the channels between target and
    /// warped source exceeds this, in [0, 1]; 1 turns the check off.
    double photometric = 0.25;
};

/// Forward-backward consistency alone, [n, 1, h, w] bool: true where following `backward` and then
/// `forward` leads back to where one started.
torch::Tensor consistent(const torch::Tensor& backward, const torch::Tensor& forward,
                         const FlowChecks& checks = {});

/// Where the flow changes too fast to lie on one surface, [n, 1, h, w] bool. Gradients are
/// differences to the next pixel.
torch::Tensor motion_boundary(const torch::Tensor& offset, const FlowChecks& checks = {});

/// Two pictures and the flows between them, both ways.
struct FlowEvidence {
    torch::Tensor target;    // [n, 3, h, w] in [0, 1]
    torch::Tensor source;    // [n, 3, h, w] in [0, 1]
    torch::Tensor backward;  // [n, 2, h, w] on the target, to the source
    torch::Tensor forward;   // [n, 2, h, w] on the source, to the target
};

/// The backward flow with its validity: in bounds, consistent, no motion boundary, and the warped
/// source looks like the target.
FlowField checked_flow(const FlowEvidence& evidence, const FlowChecks& checks = {});

/// The same for the forward flow, on the source's grid.
FlowField checked_forward_flow(const FlowEvidence& evidence, const FlowChecks& checks = {});

}  // namespace weft
