#pragma once

#include <torch/types.h>

namespace weft {

// Note [Edges of motion]
// Dense flow is smooth across the border of a moving thing: a few pixels on both sides move with
// neither surface, and what is pulled along them shows a ghost of the edge. Masks of validity have
// the blockiness of the flow they come from. Both functions here go by the picture the flow lives
// on instead: pixels in doubt take over the motion, or the validity, of neighbours that look as
// they do (support weights of Yoon and Kweon, "Adaptive support-weight approach for correspondence
// search", PAMI 2006). CPU, one thread, whole numbers.

/// The flow with its breaks moved to the target's own edges: a pixel that its flow explains badly,
/// or within 3 pixels of one, takes over the offset of a pixel up to 10 away where that explains
/// the surface around it clearly better.
/// @param offset [1, 2, h, w] on `target`, to `source`
/// @param target, source [1, 3, h, w] in [0, 1]
torch::Tensor edge_aligned(const torch::Tensor& offset, const torch::Tensor& target,
                           const torch::Tensor& source);

/// True where a pixel moves as at least 3 of the 8 around it do, to within a pixel, [1, 1, h, w]:
/// on a straight border 5 do, a crumb of wrong motion has no one.
torch::Tensor moves_with_others(const torch::Tensor& offset);

/// A mask with its border moved to the picture's edges: pixels near the border follow the majority
/// of the pixels around that look as they do.
/// @param mask [1, 1, h, w] bool
/// @param picture [1, 3, h, w] in [0, 1]
torch::Tensor edge_aligned_mask(const torch::Tensor& mask, const torch::Tensor& picture);

}  // namespace weft
