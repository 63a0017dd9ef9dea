#include "diffusion/unet_blocks.h"

namespace weft {
namespace {

ResnetShape with_input(ResnetShape shape, int64_t in) {
    shape.in = in;
    return shape;
}

std::vector<Transformer2DModel> make_attentions(const Weights& weights, const UnetLevel& level,
                                                int64_t count) {
    std::vector<Transformer2DModel> attentions;
    for (int64_t i = 0; level.attends && i < count; ++i) {
        attentions.emplace_back(weights.scope("attentions", i), level.transformer);
    }
    return attentions;
}

torch::Tensor pop(Skips& skips) {
    TORCH_CHECK(!skips.empty(), "the way up asks for more skips than the way down left");
    torch::Tensor last = skips.back();
    skips.pop_back();
    return last;
}

}  // namespace

UnetDownBlock::UnetDownBlock(const Weights& weights, const UnetLevel& level)
    : attentions_(make_attentions(weights, level, level.layers)) {
    for (int64_t i = 0; i < level.layers; ++i) {
        const int64_t in = i == 0 ? level.resnet.in : level.resnet.out;
        resnets_.emplace_back(weights.scope("resnets", i), with_input(level.resnet, in));
    }
    if (level.resizes) {
        downsampler_.emplace(weights.scope("downsamplers", 0), level.resnet.out,
                             Downsample2D::Padding::both_sides);
    }
}

torch::Tensor UnetDownBlock::layer(size_t i, const torch::Tensor& x, const UnetState& state) const {
    const torch::Tensor y = resnets_[i](x, state.time, state.context.coupling);
    return attentions_.empty() ? y : attentions_[i](y, state.context);
}

torch::Tensor UnetDownBlock::operator()(torch::Tensor x, const UnetState& state,
                                        Skips& skips) const {
    for (size_t i = 0; i < resnets_.size(); ++i) {
        x = layer(i, x, state);
        skips.push_back(x);
    }
    if (downsampler_) {
        x = (*downsampler_)(x);
        skips.push_back(x);
    }
    return x;
}

UnetMidBlock::UnetMidBlock(const Weights& weights, const UnetLevel& level)
    : attentions_(make_attentions(weights, level, 1)) {
    for (int64_t i = 0; i < (level.attends ? 2 : 1); ++i) {
        resnets_.emplace_back(weights.scope("resnets", i), level.resnet);
    }
}

torch::Tensor UnetMidBlock::operator()(torch::Tensor x, const UnetState& state) const {
    x = resnets_[0](x, state.time, state.context.coupling);
    for (size_t i = 0; i < attentions_.size(); ++i) {
        x = attentions_[i](x, state.context);
        x = resnets_[i + 1](x, state.time, state.context.coupling);
    }
    return x;
}

UnetUpBlock::UnetUpBlock(const Weights& weights, const UnetLevel& level,
                         const std::vector<int64_t>& skip_channels)
    : attentions_(make_attentions(weights, level, level.layers)) {
    for (int64_t i = 0; i < level.layers; ++i) {
        const int64_t in = i == 0 ? level.resnet.in : level.resnet.out;
        resnets_.emplace_back(weights.scope("resnets", i),
                              with_input(level.resnet, in + skip_channels.at(i)));
    }
    if (level.resizes) {
        upsampler_.emplace(weights.scope("upsamplers", 0), level.resnet.out);
    }
}

torch::Tensor UnetUpBlock::layers(size_t first, size_t last, torch::Tensor x,
                                  const UnetState& state, Skips& skips) const {
    for (size_t i = first; i < last; ++i) {
        x = resnets_[i](torch::cat({x, pop(skips)}, 1), state.time, state.context.coupling);
        if (!attentions_.empty()) {
            x = attentions_[i](x, state.context);
        }
    }
    return x;
}

torch::Tensor UnetUpBlock::operator()(torch::Tensor x, const UnetState& state, Skips& skips) const {
    x = layers(0, resnets_.size(), x, state, skips);
    if (upsampler_) {
        TORCH_CHECK(!skips.empty(), "no skip gives the size to grow to");
        x = (*upsampler_)(x, Upsample2D::Size{skips.back().size(2), skips.back().size(3)});
    }
    return x;
}

}  // namespace weft
