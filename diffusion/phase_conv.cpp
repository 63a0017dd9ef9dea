#include "diffusion/phase_conv.h"

#include <array>
#include <utility>
#include <vector>

namespace weft {
namespace {

// The two taps of an even and of an odd row out of the three of `weight` along `dim`: an even row
// sees the pixel before once and its own twice, an odd row its own twice and the next once.
std::array<torch::Tensor, 2> phases_along(const torch::Tensor& weight, int64_t dim) {
    const std::vector<torch::Tensor> taps = weight.unbind(dim);
    return {torch::stack({taps[0], taps[1] + taps[2]}, dim),
            torch::stack({taps[0] + taps[1], taps[2]}, dim)};
}

// The three taps again.
torch::Tensor taps_of(const torch::Tensor& even, const torch::Tensor& odd, int64_t dim) {
    const torch::Tensor first = even.select(dim, 0);
    const torch::Tensor last = odd.select(dim, 1);
    return torch::stack({first, even.select(dim, 1) - last, last}, dim);
}

}  // namespace

PhaseConv2d::PhaseConv2d(const torch::Tensor& weight, torch::Tensor bias)
    : bias_(std::move(bias)), dtype_(weight.scalar_type()) {
    std::vector<torch::Tensor> phases;
    for (const torch::Tensor& row : phases_along(weight.to(torch::kFloat32), 2)) {
        for (const torch::Tensor& both : phases_along(row, 3)) {
            phases.push_back(both.to(weight.scalar_type()));
        }
    }
    packed_ = PackedConv2d(torch::cat(phases));
    packed_bias_ = bias_.repeat({4});
}

// phases [n, 4 c, h + 1, w + 1]: phase (a, b) of source pixel (y, x) stands at (y + a, x + b).
torch::Tensor PhaseConv2d::interleaved(const torch::Tensor& phases) const {
    const int64_t n = phases.size(0);
    const int64_t c = bias_.size(0);
    const int64_t h = phases.size(2) - 1;
    const int64_t w = phases.size(3) - 1;
    const torch::Tensor source = phases.permute({0, 2, 3, 1}).view({n, h + 1, w + 1, 2, 2, c});
    torch::Tensor doubled = torch::empty({n, h, 2, w, 2, c}, phases.options());
    for (int64_t a = 0; a < 2; ++a) {
        for (int64_t b = 0; b < 2; ++b) {
            doubled.select(2, a).select(3, b).copy_(
                source.narrow(1, a, h).narrow(2, b, w).select(3, a).select(3, b));
        }
    }
    return doubled.view({n, 2 * h, 2 * w, c}).permute({0, 3, 1, 2});
}

torch::Tensor PhaseConv2d::operator()(const torch::Tensor& x) const {
    return interleaved(packed_(x, packed_bias_, {1, {1, 1}}));
}

torch::Tensor PhaseConv2d::rows(const torch::Tensor& x) const {
    return interleaved(packed_(x, packed_bias_, {1, {0, 1}}));
}

torch::Tensor PhaseConv2d::weight() const {
    const std::vector<torch::Tensor> phases = packed_.weight().to(torch::kFloat32).chunk(4);
    const torch::Tensor even = taps_of(phases[0], phases[1], 3);
    const torch::Tensor odd = taps_of(phases[2], phases[3], 3);
    return taps_of(even, odd, 2).to(dtype_);
}

}  // namespace weft
