#include "video/resample.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace weft {

torch::Tensor resized(const torch::Tensor& pictures, Size size) {
    TORCH_CHECK(pictures.dim() == 4, "pictures of shape ", pictures.sizes());
    const Size now{pictures.size(3), pictures.size(2)};
    if (now == size) {
        return pictures;
    }
    const std::array<int64_t, 2> sides{size.height, size.width};
    if (size.width <= now.width && size.height <= now.height) {
        return at::_upsample_bilinear2d_aa(pictures, sides, /*align_corners=*/false);
    }
    return at::_upsample_bicubic2d_aa(pictures, sides, /*align_corners=*/false);
}

torch::Tensor to_content(const torch::Tensor& pictures, const Fit& fit) {
    return resized(pictures, fit.content).clamp(0, 1);
}

torch::Tensor padded(const torch::Tensor& content, const Fit& fit) {
    return at::replication_pad2d(content, {0, fit.padded.width - fit.content.width, 0,
                                           fit.padded.height - fit.content.height});
}

torch::Tensor cropped(const torch::Tensor& pictures, const Fit& fit) {
    return pictures.slice(2, 0, fit.content.height).slice(3, 0, fit.content.width);
}

}  // namespace weft
