#include "diffusion/layers.h"

#include <cmath>
#include <utility>

#include "diffusion/packed.h"
#include "io/files/error.h"

namespace weft {
namespace {

const Init zero_init{Init::Kind::zeros};
const Init one_init{Init::Kind::ones};

// Keeps a convolution's weight channels-last. A weight in training keeps its identity: only its
// storage changes, so that the registered parameter and the layer stay one tensor.
torch::Tensor channels_last(torch::Tensor weight, bool creating) {
    torch::Tensor reordered = weight.detach().contiguous(torch::MemoryFormat::ChannelsLast);
    if (!creating) {
        return reordered;
    }
    weight.set_data(reordered);
    return weight;
}

bool runs_packed(const torch::Tensor& weight, const torch::Tensor& x) {
    return weight.is_mkldnn() && !needs_gradient(x);
}

// A convolution of single pixels is a linear layer over the channels: [n, in, h, w] -> [n, out, h,
// w], channels-last.
torch::Tensor packed_pointwise(const torch::Tensor& x, const torch::Tensor& packed,
                               const torch::Tensor& bias, const torch::Tensor& added) {
    const auto pixels = [](const torch::Tensor& map) { return map.permute({0, 2, 3, 1}); };
    const torch::Tensor y =
        added.defined() ? packed_linear(pixels(x), packed, bias, Epilogue::add, pixels(added))
                        : packed_linear(pixels(x), packed, bias);
    return y.permute({0, 3, 1, 2});
}

torch::Tensor plain(const torch::Tensor& weight) {
    return weight.is_mkldnn() ? unpacked(weight) : weight;
}

}  // namespace

Activation activation_named(const std::string& name, const std::string& where) {
    if (name == "silu" || name == "swish") {
        return Activation::silu;
    }
    if (name == "gelu") {
        return Activation::gelu;
    }
    if (name == "quick_gelu") {
        return Activation::quick_gelu;
    }
    if (name == "relu") {
        return Activation::relu;
    }
    if (name == "mish") {
        return Activation::mish;
    }
    throw Error(where, c10::str("unknown activation \"", name, "\""),
                "known are silu, swish, gelu, quick_gelu, relu and mish");
}

torch::Tensor activate(const torch::Tensor& x, Activation activation) {
    switch (activation) {
        case Activation::silu:
            return torch::silu(x);
        case Activation::gelu:
            return torch::gelu(x);
        case Activation::quick_gelu:
            return x * torch::sigmoid(1.702 * x);
        case Activation::relu:
            return torch::relu(x);
        case Activation::mish:
            return torch::mish(x);
    }
    TORCH_CHECK(false, "activation out of range: ", static_cast<int>(activation));
}

torch::Tensor activate(torch::Tensor&& x, Activation activation) {
    if (activation == Activation::silu && !needs_gradient(x)) {
        return torch::silu_(x);
    }
    return activate(static_cast<const torch::Tensor&>(x), activation);
}

Linear::Linear(const Weights& weights, int64_t in, int64_t out, const LinearOptions& options)
    : beside_(LowRank::beside(weights)) {
    const std::vector<int64_t> shape =
        options.pointwise ? std::vector<int64_t>{out, in, 1, 1} : std::vector<int64_t>{out, in};
    weight_ = weights.at("weight", shape, options.init);
    if (options.bias) {
        bias_ = weights.at("bias", {out}, zero_init);
    }
    if (!weights.creating() && can_pack(weight_)) {
        weight_ = pack_linear(weight_.flatten(1));
    }
}

torch::Tensor Linear::operator()(const torch::Tensor& x, const torch::Tensor& added) const {
    return beside_ ? beside_->onto(run(x, added), x) : run(x, added);
}

torch::Tensor Linear::run(const torch::Tensor& x, const torch::Tensor& added) const {
    if (runs_packed(weight_, x)) {
        return packed_linear(x, weight_, bias_, added.defined() ? Epilogue::add : Epilogue::none,
                             added);
    }
    const torch::Tensor weight = plain(weight_);
    const torch::Tensor y = torch::linear(x, weight.dim() == 4 ? weight.flatten(1) : weight, bias_);
    return added.defined() ? added + y : y;
}

Geglu::Geglu(const Weights& weights, int64_t in, int64_t out)
    : weight_(weights.at("weight", {2 * out, in})),
      bias_(weights.at("bias", {2 * out}, zero_init)),
      beside_(LowRank::beside(weights)) {
    if (!weights.creating() && can_pack(weight_)) {
        value_ = pack_linear(weight_.narrow(0, 0, out));
        gate_ = pack_linear(weight_.narrow(0, out, out));
        weight_.reset();
    }
}

torch::Tensor Geglu::operator()(const torch::Tensor& x) const {
    if (beside_) {
        const std::vector<torch::Tensor> halves = beside_->onto(joined(x), x).chunk(2, -1);
        return halves[0] * torch::gelu(halves[1]);
    }
    if (value_.defined() && !needs_gradient(x)) {
        const std::vector<torch::Tensor> biases = bias_.chunk(2);
        const torch::Tensor gate = packed_linear(x, gate_, biases[1], Epilogue::gelu);
        return packed_linear(x, value_, biases[0], Epilogue::times, gate);
    }
    const std::vector<torch::Tensor> halves = joined(x).chunk(2, -1);
    return halves[0] * torch::gelu(halves[1]);
}

// The values, then the gates, [..., 2 out].
torch::Tensor Geglu::joined(const torch::Tensor& x) const {
    if (value_.defined() && !needs_gradient(x)) {
        const std::vector<torch::Tensor> biases = bias_.chunk(2);
        return torch::cat({packed_linear(x, value_, biases[0]), packed_linear(x, gate_, biases[1])},
                          -1);
    }
    const torch::Tensor weight =
        value_.defined() ? torch::cat({unpacked(value_), unpacked(gate_)}) : weight_;
    return torch::linear(x, weight, bias_);
}

Conv2d::Conv2d(const Weights& weights, int64_t in, int64_t out, const Conv2dOptions& options)
    : stride_(options.stride),
      padding_(options.padding < 0 ? (options.kernel - 1) / 2 : options.padding),
      out_channels_(out),
      beside_(LowRank::beside(weights)) {
    weight_ = weights.at("weight", {out, in, options.kernel, options.kernel}, options.init);
    if (weights.creating() || !can_pack(weight_)) {
        weight_ = channels_last(weight_, weights.creating());
    } else if (options.kernel == 1 && stride_ == 1 && padding_ == 0) {
        weight_ = pack_linear(weight_.flatten(1));
    } else {
        packed_ = PackedConv2d(weight_);
        weight_.reset();
    }
    if (options.bias) {
        bias_ = weights.at("bias", {out}, zero_init);
    }
}

torch::Tensor Conv2d::plain_weight() const {
    const torch::Tensor weight = packed_.defined() ? packed_.weight() : plain(weight_);
    return weight.dim() == 2 ? weight.unsqueeze(-1).unsqueeze(-1) : weight;
}

torch::Tensor Conv2d::run(const torch::Tensor& x, const torch::Tensor& bias,
                          const torch::Tensor& added) const {
    if (packed_.defined() && !needs_gradient(x)) {
        return packed_(x, bias, {stride_, {padding_, padding_}}, added);
    }
    if (!packed_.defined() && runs_packed(weight_, x)) {
        return packed_pointwise(x, weight_, bias, added);
    }
    const torch::Tensor y = torch::conv2d(x, plain_weight(), bias, stride_, padding_);
    return added.defined() ? added + y : y;
}

torch::Tensor Conv2d::operator()(const torch::Tensor& x, const torch::Tensor& added) const {
    return with_branch(run(x, bias_, added), x);
}

torch::Tensor Conv2d::with_branch(const torch::Tensor& y, const torch::Tensor& x) const {
    return beside_ ? beside_->onto_map(y, x, stride_, padding_) : y;
}

torch::Tensor Conv2d::shifted(const torch::Tensor& x, const torch::Tensor& shift) const {
    return with_branch(run(x, bias_.defined() ? bias_ + shift : shift, {}), x);
}

void Conv2d::add_rows(torch::Tensor& out, const torch::Tensor& x) const {
    TORCH_CHECK(!beside_, "a convolution with a LoRA beside it does not run in stripes");
    if (packed_.defined()) {
        packed_.add_to(out, x, bias_, {stride_, {0, padding_}});
        return;
    }
    const std::array<int64_t, 2> padding{0, padding_};
    out.add_(torch::conv2d(x, plain_weight(), bias_, stride_, padding));
}

GroupNorm::GroupNorm(const Weights& weights, int64_t groups, int64_t channels, double eps)
    : weight_(weights.at("weight", {channels}, one_init)),
      bias_(weights.at("bias", {channels}, zero_init)),
      groups_(groups),
      eps_(eps) {
    TORCH_CHECK(groups > 0 && channels % groups == 0, "group norm: ", channels, " channels in ",
                groups, " groups");
}

torch::Tensor GroupNorm::operator()(const torch::Tensor& x) const {
    return torch::group_norm(x, groups_, weight_, bias_, eps_);
}

torch::Tensor GroupNorm::operator()(const torch::Tensor& x, Activation activation) const {
    const bool fuses = activation == Activation::silu && !needs_gradient(x) &&
                       !at::GradMode::is_enabled() && can_apply_affine(x);
    return fuses ? apply_affine(x, affine(x), AffineEnd::silu) : activate((*this)(x), activation);
}

ChannelAffine GroupNorm::affine(const torch::Tensor& x) const {
    return group_norm_affine(x, {groups_, eps_, weight_, bias_});
}

LayerNorm::LayerNorm(const Weights& weights, int64_t width, double eps)
    : weight_(weights.at("weight", {width}, one_init)),
      bias_(weights.at("bias", {width}, zero_init)),
      width_(width),
      eps_(eps) {}

torch::Tensor LayerNorm::operator()(const torch::Tensor& x) const {
    return torch::layer_norm(x, {width_}, weight_, bias_, eps_);
}

Embedding::Embedding(const Weights& weights, int64_t count, int64_t width, Init init)
    : weight_(weights.at("weight", {count, width}, init)) {}

torch::Tensor Embedding::operator()(const torch::Tensor& ids) const {
    return torch::embedding(weight_, ids);
}

torch::Tensor sinusoids(const torch::Tensor& positions, int64_t dim,
                        const SinusoidOptions& options) {
    const int64_t half = dim / 2;
    const auto f32 = positions.options().dtype(torch::kFloat32);
    const torch::Tensor exponents =
        torch::arange(half, f32) *
        (-std::log(10000.0) / (static_cast<double>(half) - options.freq_shift));
    const torch::Tensor angles = positions.to(torch::kFloat32).unsqueeze(1) * exponents.exp();
    const torch::Tensor first = options.flip_sin_to_cos ? angles.cos() : angles.sin();
    const torch::Tensor second = options.flip_sin_to_cos ? angles.sin() : angles.cos();
    const torch::Tensor both = torch::cat({first, second}, 1);  // [n, 2 * (dim / 2)]
    return dim % 2 == 0 ? both : torch::constant_pad_nd(both, {0, 1});
}

}  // namespace weft
