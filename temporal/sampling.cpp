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

torch::Tensor positions_along(const torch::Tensor& like, int64_t side) {
    const auto places = torch::arange(like.size(side), like.options());
    return side == 2 ? places.unsqueeze(1) : places.unsqueeze(0);
}

torch::Tensor warp(const torch::Tensor& source, const torch::Tensor& offset, Sampling sampling) {
    TORCH_CHECK(offset.dim() == 4 && offset.size(1) == 2 && offset.is_floating_point(),
                "a flow is [n, 2, h, w] floating, got ", offset.sizes());
    TORCH_CHECK(
        source.dim() == 4 && source.size(2) == offset.size(2) && source.size(3) == offset.size(3),
        "picture ", source.sizes(), " and flow ", offset.sizes(), " differ in size");
    // grid_sampler counts from -1 at the left edge of the first pixel to 1 at the right edge of the
    // last one.
    auto grid = torch::empty({offset.size(0), offset.size(2), offset.size(3), 2}, offset.options());
    const auto place = [&](int64_t coordinate, int64_t side) {
        const double pixel = 2 / static_cast<double>(offset.size(side));
        auto placed = grid.select(3, coordinate);  // [n, h, w]
        at::add_out(placed, (positions_along(offset, side) + 0.5) * pixel - 1,
                    offset.select(1, coordinate), pixel);
    };
    place(0, 3);
    place(1, 2);
    constexpr int64_t border = 1;
    return at::grid_sampler(source, grid.to(source.scalar_type()), mode_of(sampling), border,
                            /*align_corners=*/false);
}

}  // namespace weft
