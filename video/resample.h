#pragma once

#include <torch/types.h>

#include "video/job.h"

namespace weft {

/// Resamples [n, c, h, w] float pictures: antialiased (the kernel widens when shrinking), triangle
/// filter down and bicubic up; may leave [0, 1] by a little when enlarging. The same size is a
/// no-op.
torch::Tensor resized(const torch::Tensor& pictures, Size size);

/// Source pictures [n, 3, fit.source] -> the same at the model's scale [n, 3, fit.content], in
/// [0, 1].
torch::Tensor to_content(const torch::Tensor& pictures, const Fit& fit);

/// [n, 3, fit.content] -> what the model sees [n, 3, fit.padded]: the edge goes on.
torch::Tensor padded(const torch::Tensor& content, const Fit& fit);

/// What the model made [n, 3, fit.padded] -> [n, 3, fit.content].
torch::Tensor cropped(const torch::Tensor& pictures, const Fit& fit);

}  // namespace weft
