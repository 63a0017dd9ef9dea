#pragma once

#include <torch/types.h>

namespace weft {

// The looks made by a hand or a machine with ink and paint. All: [n, 3, h, w] in 0..1 -> the same.
// Lines are some 2 px wide and strokes 5 to 9 px, fit for frames 256 to 512 px wide.

torch::Tensor pencil_sketch(const torch::Tensor& picture);
torch::Tensor charcoal_drawing(const torch::Tensor& picture);
torch::Tensor watercolor_painting(const torch::Tensor& picture);
torch::Tensor oil_painting(const torch::Tensor& picture);
torch::Tensor comic_book(const torch::Tensor& picture);
torch::Tensor neon_lines(const torch::Tensor& picture);
torch::Tensor blueprint(const torch::Tensor& picture);
torch::Tensor poster(const torch::Tensor& picture);
/// Periodic looks: cells of 8 px from the top left corner.
torch::Tensor pixel_art(const torch::Tensor& picture);
torch::Tensor mosaic(const torch::Tensor& picture);
torch::Tensor halftone(const torch::Tensor& picture);

}  // namespace weft
