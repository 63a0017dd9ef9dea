#include "diffusion/resnet.h"

namespace weft {
namespace {

std::optional<Linear> time_projection(const Weights& weights, const ResnetShape& shape) {
    if (shape.time == 0) {
        return {};
    }
    return Linear(weights.scope("time_emb_proj"), shape.time,
                  shape.scale_shift ? 2 * shape.out : shape.out);
}

std::optional<Conv2d> shortcut(const Weights& weights, const ResnetShape& shape) {
    if (shape.in == shape.out) {
        return {};
    }
    return Conv2d(weights.scope("conv_shortcut"), shape.in, shape.out, {.kernel = 1});
}

}  // namespace

ResnetBlock2D::ResnetBlock2D(const Weights& weights, const ResnetShape& shape)
    : activation_(shape.activation),
      scale_shift_(shape.scale_shift),
      norm1_(weights.scope("norm1"), shape.norm_groups, shape.in, shape.norm_eps),
      conv1_(weights.scope("conv1"), shape.in, shape.out),
      time_emb_proj_(time_projection(weights, shape)),
      norm2_(weights.scope("norm2"), shape.norm_groups, shape.out, shape.norm_eps),
      conv2_(weights.scope("conv2"), shape.out, shape.out, {.init = {Init::Kind::zeros}}),
      conv_shortcut_(shortcut(weights, shape)) {}

torch::Tensor ResnetBlock2D::operator()(const torch::Tensor& x, const torch::Tensor& time) const {
    torch::Tensor y = conv1_(activate(norm1_(x), activation_));
    torch::Tensor embedded;  // [n, out or 2 * out, 1, 1]
    if (time_emb_proj_) {
        embedded = (*time_emb_proj_)(activate(time, activation_)).unsqueeze(-1).unsqueeze(-1);
    }
    if (embedded.defined() && !scale_shift_) {
        y = y + embedded;
    }
    y = norm2_(y);
    if (embedded.defined() && scale_shift_) {
        const std::vector<torch::Tensor> parts = embedded.chunk(2, 1);
        y = y * (1 + parts[0]) + parts[1];
    }
    y = conv2_(activate(y, activation_));
    return (conv_shortcut_ ? (*conv_shortcut_)(x) : x) + y;
}

Downsample2D::Downsample2D(const Weights& weights, int64_t channels, Padding padding)
    : padding_(padding),
      conv_(weights.scope("conv"), channels, channels,
            {.stride = 2, .padding = padding == Padding::both_sides ? 1 : 0}) {}

torch::Tensor Downsample2D::operator()(const torch::Tensor& x) const {
    if (padding_ == Padding::right_and_bottom) {
        return conv_(torch::constant_pad_nd(x, {0, 1, 0, 1}));
    }
    return conv_(x);
}

Upsample2D::Upsample2D(const Weights& weights, int64_t channels)
    : conv_(weights.scope("conv"), channels, channels) {}

torch::Tensor Upsample2D::operator()(const torch::Tensor& x, std::optional<Size> size) const {
    const Size target = size.value_or(Size{2 * x.size(2), 2 * x.size(3)});
    return conv_(torch::upsample_nearest2d(x, {target.first, target.second}));
}

}  // namespace weft
