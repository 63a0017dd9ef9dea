#include "temporal/raft_layers.h"

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>

#include <array>
#include <cmath>

#include "io/files/error.h"

namespace weft::raft {
namespace {

constexpr double eps = 1e-5;

torch::Tensor parameter(const Weights& weights, const std::string& name, int64_t channels) {
    return weights.at(name, {channels});
}

/// The stored convolution's shape with `in` input channels, so that a file that does not fit is an
/// Error with both shapes.
std::vector<int64_t> convolution_shape(const Weights& weights, int64_t in) {
    auto shape = weights.shape("weight");
    if (shape.size() != 4) {
        throw Error(weights.full("weight"), c10::str("has ", shape.size(), " sides, not 4"),
                    "use RAFT weights of torchvision");
    }
    shape[1] = in;
    return shape;
}

/// sqrt(c / levels) is the side of the neighbourhood, 2 radius + 1.
int64_t radius_of(const Weights& convcorr) {
    const auto channels = convcorr.shape("weight").at(1);
    const auto side = std::llround(std::sqrt(static_cast<double>(channels) / Correlation::levels));
    if (side * side * Correlation::levels != channels || side % 2 == 0) {
        throw Error(convcorr.full("weight"), c10::str("takes ", channels, " correlations"),
                    "use RAFT weights of torchvision");
    }
    return (side - 1) / 2;
}

/// Bilinear samples at positions in pixels, 0 outside, [m, 1, a, b]; `at` [m, a, b, 2].
torch::Tensor sampled(const torch::Tensor& map, const torch::Tensor& at) {
    const auto last = torch::tensor(
        {static_cast<double>(map.size(3) - 1), static_cast<double>(map.size(2) - 1)}, at.options());
    constexpr int64_t bilinear = 0;
    constexpr int64_t zeros = 0;
    return at::grid_sampler(map, 2 * at / last - 1, bilinear, zeros, /*align_corners=*/true);
}

}  // namespace

Convolution::Convolution(const Weights& weights, int64_t in, int64_t stride)
    : weight_(weights.at("weight", convolution_shape(weights, in))),
      bias_(parameter(weights, "bias", weight_.size(0))),
      stride_(stride) {}

torch::Tensor Convolution::operator()(const torch::Tensor& x) const {
    const std::array<int64_t, 2> padding{(weight_.size(2) - 1) / 2, (weight_.size(3) - 1) / 2};
    return at::conv2d(x, weight_, bias_, {stride_, stride_}, padding);
}

Norm::Norm(const Weights& weights, int64_t channels, Otherwise otherwise) : otherwise_(otherwise) {
    if (weights.has("weight")) {
        weight_ = parameter(weights, "weight", channels);
        bias_ = parameter(weights, "bias", channels);
        mean_ = parameter(weights, "running_mean", channels);
        variance_ = parameter(weights, "running_var", channels);
    }
}

torch::Tensor Norm::operator()(const torch::Tensor& x) const {
    constexpr double momentum = 0;
    if (weight_.defined()) {
        return at::batch_norm(x, weight_, bias_, mean_, variance_, /*training=*/false, momentum,
                              eps, /*cudnn_enabled=*/false);
    }
    if (otherwise_ == Otherwise::none) {
        return x;
    }
    return at::instance_norm(x, {}, {}, {}, {}, /*use_input_stats=*/true, momentum, eps,
                             /*cudnn_enabled=*/false);
}

ConvolutionUnit::ConvolutionUnit(const Weights& weights, int64_t in, int64_t stride,
                                 Norm::Otherwise otherwise)
    : convolution(weights.scope("0"), in, stride),
      norm(weights.scope("1"), convolution.out(), otherwise) {}

Block::Block(const Weights& weights, int64_t in, int64_t stride, Norm::Otherwise otherwise) {
    const bool bottleneck = weights.has("convnormrelu3.0.weight");
    // The second of a bottleneck's units and the first of a residual block's take the stride.
    units_.emplace_back(weights.scope("convnormrelu1"), in, bottleneck ? 1 : stride, otherwise);
    units_.emplace_back(weights.scope("convnormrelu2"), units_.back().convolution.out(),
                        bottleneck ? stride : 1, otherwise);
    if (bottleneck) {
        units_.emplace_back(weights.scope("convnormrelu3"), units_.back().convolution.out(), 1,
                            otherwise);
    }
    if (stride != 1) {
        downsample_.emplace(weights.scope("downsample"), in, stride, otherwise);
    }
}

torch::Tensor Block::operator()(const torch::Tensor& x) const {
    auto y = x;
    for (const ConvolutionUnit& unit : units_) {
        y = unit(y);
    }
    return ((downsample_ ? downsample_->normed(x) : x) + y).relu();
}

Encoder::Encoder(const Weights& weights, Norm::Otherwise otherwise)
    : first_(weights.scope("convnormrelu"), 3, 2, otherwise),
      blocks_([&] {
          std::vector<Block> blocks;
          int64_t channels = first_.convolution.out();
          for (const auto& [layer, stride] :
               {std::pair{"layer1", 1}, std::pair{"layer2", 2}, std::pair{"layer3", 2}}) {
              const auto scope = weights.scope(layer);
              blocks.emplace_back(scope.scope("0"), channels, stride, otherwise);
              blocks.emplace_back(scope.scope("1"), blocks.back().out(), 1, otherwise);
              channels = blocks.back().out();
          }
          return blocks;
      }()),
      last_(weights.scope("conv"), blocks_.back().out()) {}

torch::Tensor Encoder::operator()(const torch::Tensor& x) const {
    auto y = first_(x);
    for (const Block& block : blocks_) {
        y = block(y);
    }
    return last_(y);
}

Correlation::Correlation(const torch::Tensor& target, const torch::Tensor& source) {
    const auto channels = static_cast<double>(target.size(1));
    const auto height = target.size(2);
    const auto width = target.size(3);
    auto volume = at::matmul(target.flatten(2).transpose(1, 2), source.flatten(2)) /
                  std::sqrt(channels);  // [n, h w, h w]
    volume = volume.reshape({-1, 1, height, width});
    pyramid_.push_back(volume);
    for (int64_t level = 1; level < levels; ++level) {
        pyramid_.push_back(at::avg_pool2d(pyramid_.back(), {2, 2}, {2, 2}));
    }
}

torch::Tensor Correlation::around(const torch::Tensor& at, int64_t radius) const {
    const auto n = at.size(0);
    const auto height = at.size(2);
    const auto width = at.size(3);
    const auto steps = torch::arange(-radius, radius + 1, at.options());
    const auto side = steps.size(0);
    // As in the paper's code, the first of the neighbourhood's sides steps along x.
    const auto delta = torch::stack(
        {steps.view({-1, 1}).expand({side, side}), steps.view({1, -1}).expand({side, side})},
        -1);  // [side, side, 2]
    auto centre = at.permute({0, 2, 3, 1}).reshape({n * height * width, 1, 1, 2});
    std::vector<torch::Tensor> found;
    for (const auto& map : pyramid_) {
        found.push_back(sampled(map, centre + delta).view({n, height, width, -1}));
        centre = centre / 2;
    }
    return torch::cat(found, -1).permute({0, 3, 1, 2}).contiguous();
}

Update::Gru::Gru(const Weights& weights, int64_t in)
    : z(weights.scope("convz"), in), r(weights.scope("convr"), in), q(weights.scope("convq"), in) {}

torch::Tensor Update::Gru::operator()(const torch::Tensor& hidden, const torch::Tensor& x) const {
    const auto both = torch::cat({hidden, x}, 1);
    const auto update = z(both).sigmoid();
    const auto reset = r(both).sigmoid();
    const auto candidate = q(torch::cat({reset * hidden, x}, 1)).tanh();
    return (1 - update) * hidden + update * candidate;
}

Update::Update(const Weights& weights, int64_t context_channels)
    : radius_(radius_of(weights.scope("motion_encoder.convcorr1.0"))),
      hidden_size_(weights.shape("recurrent_block.convgru1.convz.weight").at(0)) {
    const auto encoder = weights.scope("motion_encoder");
    const int64_t side = 2 * radius_ + 1;
    correlation_.emplace_back(encoder.scope("convcorr1.0"), Correlation::levels * side * side);
    if (encoder.has("convcorr2.0.weight")) {
        correlation_.emplace_back(encoder.scope("convcorr2.0"), correlation_.back().out());
    }
    flow_.emplace_back(encoder.scope("convflow1.0"), 2);
    flow_.emplace_back(encoder.scope("convflow2.0"), flow_.back().out());
    joint_.emplace_back(encoder.scope("conv.0"), correlation_.back().out() + flow_.back().out());

    const int64_t input = joint_.back().out() + 2 + context_channels - hidden_size_;
    for (const char* name : {"recurrent_block.convgru1", "recurrent_block.convgru2"}) {
        if (weights.scope(name).has("convz.weight")) {
            recurrent_.emplace_back(weights.scope(name), hidden_size_ + input);
        }
    }
    head_.emplace_back(weights.scope("flow_head.conv1"), hidden_size_);
    head_.emplace_back(weights.scope("flow_head.conv2"), head_.back().out());
}

torch::Tensor Update::motion(const torch::Tensor& correlation, const torch::Tensor& flow) const {
    auto seen = correlation;
    for (const Convolution& layer : correlation_) {
        seen = layer(seen).relu();
    }
    auto moved = flow;
    for (const Convolution& layer : flow_) {
        moved = layer(moved).relu();
    }
    return torch::cat({joint_.front()(torch::cat({seen, moved}, 1)).relu(), flow}, 1);
}

std::pair<torch::Tensor, torch::Tensor> Update::operator()(const torch::Tensor& hidden,
                                                           const torch::Tensor& context,
                                                           const torch::Tensor& correlation,
                                                           const torch::Tensor& flow) const {
    const auto x = torch::cat({context, motion(correlation, flow)}, 1);
    auto state = hidden;
    for (const Gru& unit : recurrent_) {
        state = unit(state, x);
    }
    return {state, head_[1](head_[0](state).relu())};
}

UpsampleMask::UpsampleMask(const Weights& weights, int64_t hidden_size)
    : first_(weights.scope("convrelu.0"), hidden_size), last_(weights.scope("conv"), first_.out()) {
    if (last_.out() != int64_t{9} * 8 * 8) {
        throw Error(weights.full("conv.weight"), c10::str("gives ", last_.out(), " channels"),
                    "use RAFT weights of torchvision");
    }
}

torch::Tensor UpsampleMask::upsampled(const torch::Tensor& flow,
                                      const torch::Tensor& hidden) const {
    const auto n = flow.size(0);
    const auto height = flow.size(2);
    const auto width = flow.size(3);
    const auto mask =
        (0.25 * last_(first_(hidden).relu())).view({n, 1, 9, 8, 8, height, width}).softmax(2);
    const auto neighbours =
        at::im2col(8 * flow, {3, 3}, {1, 1}, {1, 1}, {1, 1}).view({n, 2, 9, 1, 1, height, width});
    return (mask * neighbours)
        .sum(2)
        .permute({0, 1, 4, 2, 5, 3})
        .reshape({n, 2, 8 * height, 8 * width});
}

torch::Tensor positions(const torch::Tensor& like) {
    const auto y = torch::arange(like.size(2), like.options());
    const auto x = torch::arange(like.size(3), like.options());
    return torch::stack(
               {x.view({1, -1}).expand({y.size(0), -1}), y.view({-1, 1}).expand({-1, x.size(0)})})
        .unsqueeze(0)
        .repeat({like.size(0), 1, 1, 1});
}

}  // namespace weft::raft
