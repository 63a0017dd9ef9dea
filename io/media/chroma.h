#pragma once

#include <torch/types.h>

#include "io/media/color.h"

namespace weft {

/// How much coarser chroma is sampled than luma, as powers of two: 1, 1 for 4:2:0; 1, 0 for 4:2:2.
struct ChromaStep {
    int log2_width = 0;
    int log2_height = 0;
};

/// Note [Chroma resampling]
/// Going from subsampled chroma to full size and back gives the same samples, so that a picture
/// that is not edited keeps its code values however often it is read and written, while edited
/// pictures are low-pass filtered before they are decimated. Samples that lie on luma samples
/// (cosited): up, the four-point interpolation (-1 9 9 -1)/16 fills the gaps; down, its lifting
/// inverse adds a quarter of what the gaps differ from that prediction (Sweldens, "The lifting
/// scheme", 1998, the (4,2) interpolating wavelet). Samples between two luma samples (centred):
/// down, their mean; up, the quadratic whose means they are (Donoho, "Smooth wavelet decompositions
/// with blocky coefficient kernels", 1993); at an odd size's end a sample is its one pixel.
///
/// Horizontally `left`, `top_left` and `bottom_left` are cosited; vertically `top` and `top_left`
/// are, and `bottom` and `bottom_left` on the lower rows (of even heights halved once; else they
/// count as centred).

/// @param chroma [c, ceil(h / 2^log2_height), ceil(w / 2^log2_width)] float
/// @return [c, height, width]
torch::Tensor upsample_chroma(torch::Tensor chroma, const ChromaStep& step, ChromaLocation location,
                              int64_t height, int64_t width);

/// The inverse: [c, h, w] -> [c, ceil(h / 2^log2_height), ceil(w / 2^log2_width)].
torch::Tensor downsample_chroma(torch::Tensor chroma, const ChromaStep& step,
                                ChromaLocation location);

}  // namespace weft
