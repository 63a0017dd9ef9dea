#include "diffusion/resnet.h"

#include <algorithm>

#include "diffusion/packed.h"

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
    : site_(site_of(weights)),
      activation_(shape.activation),
      scale_shift_(shape.scale_shift),
      norm1_(weights.scope("norm1"), shape.norm_groups, shape.in, shape.norm_eps),
      conv1_(weights.scope("conv1"), shape.in, shape.out),
      time_emb_proj_(time_projection(weights, shape)),
      norm2_(weights.scope("norm2"), shape.norm_groups, shape.out, shape.norm_eps),
      conv2_(weights.scope("conv2"), shape.out, shape.out, {.init = {Init::Kind::zeros}}),
      conv_shortcut_(shortcut(weights, shape)) {}

// conv1 of the activated norm, with the time embedding [1 or n, out, 1, 1] or undefined on top.
torch::Tensor ResnetBlock2D::first_half(const torch::Tensor& x,
                                        const torch::Tensor& embedded) const {
    const torch::Tensor activated = norm1_(x, activation_);
    if (!embedded.defined()) {
        return conv1_(activated);
    }
    return embedded.size(0) == 1 ? conv1_.shifted(activated, embedded.flatten())
                                 : conv1_(activated) + embedded;
}

torch::Tensor ResnetBlock2D::operator()(const torch::Tensor& x, const torch::Tensor& time,
                                        Coupling* coupling) const {
    torch::Tensor embedded;  // [1 or n, out or 2 * out, 1, 1]
    if (time_emb_proj_) {
        embedded = (*time_emb_proj_)(activate(time, activation_)).unsqueeze(-1).unsqueeze(-1);
    }
    torch::Tensor y = first_half(x, scale_shift_ ? torch::Tensor() : embedded);
    if (embedded.defined() && scale_shift_) {
        const std::vector<torch::Tensor> parts = embedded.chunk(2, 1);
        y = activate(norm2_(y) * (1 + parts[0]) + parts[1], activation_);
    } else {
        y = norm2_(y, activation_);
    }
    const torch::Tensor around = conv_shortcut_ ? (*conv_shortcut_)(x) : x;
    if (coupling != nullptr && coupling->takes_features(site_)) {
        return around + coupling->features(site_, conv2_(y));
    }
    return conv2_(y, around);
}

torch::Tensor ResnetBlock2D::in_stripes(torch::Tensor x, const Stripes& stripes) const {
    TORCH_CHECK(!time_emb_proj_, "stripes are for blocks without a time embedding");
    x = x.contiguous(torch::MemoryFormat::ChannelsLast);
    torch::Tensor y = zero_map(x, conv1_.out_channels(), x.size(2), x.size(3));
    add_normed_conv(y, x, {norm1_, activation_, conv1_}, stripes);
    if (conv_shortcut_) {
        x = (*conv_shortcut_)(x);
    }
    add_normed_conv(x, y, {norm2_, activation_, conv2_}, stripes);
    return x;
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

torch::Tensor Downsample2D::in_stripes(const torch::Tensor& x, const Stripes& stripes) const {
    TORCH_CHECK(padding_ == Padding::right_and_bottom, "stripes are for autoencoders");
    torch::Tensor out = zero_map(x, x.size(1), x.size(2) / 2, x.size(3) / 2);
    const int64_t rows = std::max<int64_t>(stripes.rows_of(x) / 2, 1);
    for_each_stripe(out.size(2), rows, [&](int64_t first, int64_t last) {
        const torch::Tensor seen = rows_with_border(x, 2 * first, 2 * last + 1);
        torch::Tensor target = out.narrow(2, first, last - first);
        conv_.add_rows(target, torch::constant_pad_nd(seen, {0, 1, 0, 0}));
    });
    return out;
}

Upsample2D::Upsample2D(const Weights& weights, int64_t channels) {
    const Weights conv = weights.scope("conv");
    const torch::Tensor weight = conv.at("weight", {channels, channels, 3, 3});
    // Phases have no place for a LoRA beside the convolution.
    if (!weights.creating() && can_pack(weight) && !conv.has(LowRank::down_name)) {
        by_phases_.emplace(weight, conv.at("bias", {channels}));
    } else {
        conv_.emplace(conv, channels, channels);
    }
}

torch::Tensor Upsample2D::operator()(const torch::Tensor& x, std::optional<Size> size) const {
    const Size doubled{2 * x.size(2), 2 * x.size(3)};
    const Size target = size.value_or(doubled);
    if (by_phases_ && target == doubled && !needs_gradient(x)) {
        return (*by_phases_)(x);
    }
    const torch::Tensor larger = torch::upsample_nearest2d(x, {target.first, target.second});
    return conv_ ? (*conv_)(larger)
                 : torch::conv2d(larger, by_phases_->weight(), by_phases_->bias(), 1, 1);
}

torch::Tensor Upsample2D::doubled_rows(const torch::Tensor& x) const {
    if (by_phases_) {
        return by_phases_->rows(x);
    }
    const int64_t rows = 2 * (x.size(2) - 2);
    const torch::Tensor larger = torch::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)});
    torch::Tensor out = zero_map(x, x.size(1), rows, larger.size(3));
    conv_->add_rows(out, larger.narrow(2, 1, rows + 2));
    return out;
}

torch::Tensor Upsample2D::in_stripes(const torch::Tensor& x, const Stripes& stripes) const {
    torch::Tensor out = torch::empty({1, x.size(1), 2 * x.size(2), 2 * x.size(3)}, x.options(),
                                     torch::MemoryFormat::ChannelsLast);
    const int64_t rows = std::max<int64_t>(stripes.rows_of(out) / 2, 1);
    for_each_stripe(x.size(2), rows, [&](int64_t first, int64_t last) {
        out.narrow(2, 2 * first, 2 * (last - first))
            .copy_(doubled_rows(rows_with_border(x, first - 1, last + 1)));
    });
    return out;
}

}  // namespace weft
