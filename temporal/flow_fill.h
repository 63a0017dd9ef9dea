#pragma once

#include <torch/types.h>

namespace weft {

/// Lets motion that is known for sure spread to where it is not: over even ground, where every
/// offset explains the picture as well, and to hidden pixels. It spreads within surfaces and stops
/// at the picture's edges (Min et al., "Fast global image smoothing based on weighted least
/// squares", TIP 2014, sections III and V: two rounds of one-dimensional solves along rows and
/// columns, numerator and denominator apart). Where confidence is 1 the offset stays as it is; in
/// between the two are mixed. CPU, one thread; about 5 ms at 512x288.
/// @param offset [1, 2, h, w]
/// @param confidence [1, 1, h, w] in [0, 1]
/// @param picture [1, 3, h, w] in [0, 1], the picture the flow lives on
torch::Tensor spread_from_confident(const torch::Tensor& offset, const torch::Tensor& confidence,
                                    const torch::Tensor& picture);

/// How much there is to see around each pixel, [1, 1, h, w] in [0, 1): the mean square gradient of
/// luma in 5x5 pixels against that of faint structure.
torch::Tensor texturedness(const torch::Tensor& picture);

}  // namespace weft
