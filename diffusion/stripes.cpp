#include "diffusion/stripes.h"

#include <algorithm>

namespace weft {
namespace {

// end(norm(x)) of rows [first, last) into `out`, whose rows outside x become zero.
void normed_rows(torch::Tensor& out, const torch::Tensor& x, int64_t first,
                 const ChannelAffine& affine, Activation activation) {
    const int64_t last = first + out.size(2);
    const int64_t begin = std::max<int64_t>(first, 0);
    const int64_t end = std::min(last, x.size(2));
    out.narrow(2, 0, begin - first).zero_();
    out.narrow(2, end - first, last - end).zero_();
    torch::Tensor inside = out.narrow(2, begin - first, end - begin);
    const torch::Tensor source = x.narrow(2, begin, end - begin);
    if (activation == Activation::silu) {
        apply_affine_into(inside, source, affine, AffineEnd::silu);
        return;
    }
    apply_affine_into(inside, source, affine, AffineEnd::none);
    inside.copy_(activate(inside, activation));
}

}  // namespace

int64_t Stripes::rows_of(const torch::Tensor& x) const {
    const int64_t row_bytes = x.size(1) * x.size(3) * x.element_size();
    return std::max<int64_t>(bytes / std::max<int64_t>(row_bytes, 1), 1);
}

void for_each_stripe(int64_t height, int64_t rows,
                     const std::function<void(int64_t, int64_t)>& visit) {
    TORCH_CHECK(rows > 0, "stripes of ", rows, " rows");
    for (int64_t first = 0; first < height; first += rows) {
        visit(first, std::min(first + rows, height));
    }
}

torch::Tensor rows_with_border(const torch::Tensor& x, int64_t first, int64_t last) {
    const int64_t begin = std::max<int64_t>(first, 0);
    const int64_t end = std::min(last, x.size(2));
    torch::Tensor inside = x.narrow(2, begin, end - begin);
    if (begin == first && end == last) {
        return inside;
    }
    return torch::constant_pad_nd(inside, {0, 0, begin - first, last - end});
}

torch::Tensor zero_map(const torch::Tensor& x, int64_t channels, int64_t height, int64_t width) {
    return torch::empty({1, channels, height, width}, x.options(),
                        torch::MemoryFormat::ChannelsLast)
        .zero_();
}

void add_normed_conv(torch::Tensor& out, const torch::Tensor& x, const NormedConv& layers,
                     const Stripes& stripes) {
    TORCH_CHECK(x.size(0) == 1 && out.size(0) == 1, "stripes are of one frame, not of ", x.sizes());
    const ChannelAffine affine = layers.norm.affine(x);
    const int64_t rows = std::min(stripes.rows_of(x), x.size(2));
    torch::Tensor buffer = zero_map(x, x.size(1), rows + 2, x.size(3));
    for_each_stripe(x.size(2), rows, [&](int64_t first, int64_t last) {
        torch::Tensor normed = buffer.narrow(2, 0, last - first + 2);
        normed_rows(normed, x, first - 1, affine, layers.activation);
        torch::Tensor target = out.narrow(2, first, last - first);
        layers.conv.add_rows(target, normed);
    });
}

}  // namespace weft
