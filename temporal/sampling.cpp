#include "temporal/sampling.h"

#include <ATen/ATen.h>

namespace weft {
namespace {

int64_t mode_of(Sampling sampling) {
    constexpr int64_t bilinear = 0;
    constexpr int64_t bicubic = 2;
    return sampling == Sampling::bilinear ? bilinear : bicubic;
}

}  // namespace

torch::Tensor pixel_grid(const torch::Tensor& like) {
    const auto y = torch::arange(like.size(2), like.options());
    const auto x = torch::arange(like.size(3), like.options());
    return torch::stack(
               {x.view({1, -1}).expand({y.size(0), -1}), y.view({-1, 1}).expand({-1, x.size(0)})})
        .unsqueeze(0);
}

torch::Tensor warp(const torch::Tensor& source, const torch::Tensor& offset, Sampling sampling) {
    TORCH_CHECK(offset.dim() == 4 && offset.size(1) == 2 && offset.is_floating_point(),
                "a flow is [n, 2, h, w] floating, got ", offset.sizes());
    TORCH_CHECK(
        source.dim() == 4 && source.size(2) == offset.size(2) && source.size(3) == offset.size(3),
        "picture ", source.sizes(), " and flow ", offset.sizes(), " differ in size");
    // grid_sampler counts from -1 at the left edge of the first pixel to 1 at the right edge of the
    // last one.
    const auto at = pixel_grid(offset) + offset;
    const auto scale = torch::tensor({2.0 / static_cast<double>(offset.size(3)),
                                      2.0 / static_cast<double>(offset.size(2))},
                                     offset.options())
                           .view({1, 2, 1, 1});
    const auto grid = ((at + 0.5) * scale - 1).permute({0, 2, 3, 1});  // [n, h, w, 2]
    constexpr int64_t border = 1;
    return at::grid_sampler(source, grid.to(source.scalar_type()), mode_of(sampling), border,
                            /*align_corners=*/false);
}

}  // namespace weft
