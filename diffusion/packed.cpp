#include "diffusion/packed.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <array>
#include <optional>
#include <string_view>

namespace weft {
namespace {

using Scalars = c10::List<std::optional<at::Scalar>>;
using OptionalTensor = std::optional<torch::Tensor>;
using OptionalText = std::optional<std::string_view>;

// The operators are part of LibTorch's dispatcher (TorchInductor calls them), not of its headers.
template <typename Signature>
c10::TypedOperatorHandle<Signature> operator_named(const char* name, const char* overload = "") {
    return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Signature>();
}

OptionalTensor if_defined(const torch::Tensor& tensor) {
    return tensor.defined() ? OptionalTensor(tensor) : std::nullopt;
}

// Channels-last with the strides that follow from the sizes. Where a size is 1 any stride counts as
// contiguous, and oneDNN refuses some of them.
torch::Tensor channels_last(const torch::Tensor& x) {
    const torch::Tensor y = x.contiguous(torch::MemoryFormat::ChannelsLast);
    const std::array<int64_t, 4> strides{y.size(1) * y.size(2) * y.size(3), 1,
                                         y.size(1) * y.size(3), y.size(1)};
    return y.strides() == torch::IntArrayRef(strides) ? y : y.as_strided(y.sizes(), strides);
}

bool onednn_has_bf16() {
    static const bool has = operator_named<bool()>("mkldnn::_is_mkldnn_bf16_supported").call();
    return has;
}

torch::Tensor linear_with(const torch::Tensor& x, const torch::Tensor& packed,
                          const torch::Tensor& bias, std::string_view attribute) {
    static const auto run = operator_named<torch::Tensor(
        const torch::Tensor&, const torch::Tensor&, const OptionalTensor&, std::string_view,
        Scalars, OptionalText)>("mkldnn::_linear_pointwise");
    return run.call(x, packed, if_defined(bias), attribute, Scalars(), OptionalText("none"));
}

torch::Tensor linear_with_other(const torch::Tensor& x, const torch::Tensor& other,
                                const torch::Tensor& packed, const torch::Tensor& bias,
                                std::string_view attribute) {
    static const auto run = operator_named<torch::Tensor(
        const torch::Tensor&, const torch::Tensor&, const torch::Tensor&, const OptionalTensor&,
        std::string_view)>("mkldnn::_linear_pointwise", "binary");
    return run.call(x, other, packed, if_defined(bias), attribute);
}

torch::Tensor conv_alone(const torch::Tensor& x, const torch::Tensor& packed,
                         const torch::Tensor& bias, const ConvGeometry& geometry) {
    static const auto run = operator_named<torch::Tensor(
        const torch::Tensor&, const torch::Tensor&, const OptionalTensor&, torch::IntArrayRef,
        torch::IntArrayRef, torch::IntArrayRef, int64_t, std::string_view, Scalars, OptionalText)>(
        "mkldnn::_convolution_pointwise");
    const std::array<int64_t, 2> stride{geometry.stride, geometry.stride};
    return run.call(x, packed, if_defined(bias), geometry.padding, stride, {1, 1}, 1, "none",
                    Scalars(), "");
}

torch::Tensor conv_plus(const torch::Tensor& x, const torch::Tensor& other,
                        const torch::Tensor& packed, const torch::Tensor& bias,
                        const ConvGeometry& geometry) {
    static const auto run = operator_named<torch::Tensor(
        const torch::Tensor&, const torch::Tensor&, const torch::Tensor&, const OptionalTensor&,
        torch::IntArrayRef, torch::IntArrayRef, torch::IntArrayRef, int64_t, std::string_view,
        std::optional<at::Scalar>, OptionalText, Scalars, OptionalText)>(
        "mkldnn::_convolution_pointwise", "binary");
    const std::array<int64_t, 2> stride{geometry.stride, geometry.stride};
    return run.call(x, other, packed, if_defined(bias), geometry.padding, stride, {1, 1}, 1, "add",
                    at::Scalar(1.0), {}, Scalars(), {});
}

void add_conv(torch::Tensor& out, const torch::Tensor& x, const torch::Tensor& packed,
              const torch::Tensor& bias, const ConvGeometry& geometry) {
    static const auto run = operator_named<torch::Tensor&(
        torch::Tensor&, const torch::Tensor&, const torch::Tensor&, const OptionalTensor&,
        torch::IntArrayRef, torch::IntArrayRef, torch::IntArrayRef, int64_t, std::string_view,
        std::optional<at::Scalar>, OptionalText, Scalars, OptionalText)>(
        "mkldnn::_convolution_pointwise_", "binary");
    const std::array<int64_t, 2> stride{geometry.stride, geometry.stride};
    run.call(out, x, packed, if_defined(bias), geometry.padding, stride, {1, 1}, 1, "add",
             at::Scalar(1.0), {}, Scalars(), {});
}

}  // namespace

bool can_pack(const torch::Tensor& weight) {
    if (!weight.is_cpu() || weight.numel() == 0 || !at::globalContext().userEnabledMkldnn() ||
        !at::globalContext().hasMKLDNN()) {
        return false;
    }
    return weight.scalar_type() == torch::kFloat32 ||
           (weight.scalar_type() == torch::kBFloat16 && onednn_has_bf16());
}

torch::Tensor unpacked(const torch::Tensor& packed) {
    return packed.to_dense();
}

PackedBytes packed_bytes(const torch::Tensor& packed) {
    static const auto address = operator_named<int64_t(const torch::Tensor&)>("mkldnn::data_ptr");
    static const auto size = operator_named<int64_t(const torch::Tensor&)>("mkldnn::_nbytes");
    // The operator gives the address as a number.
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    return {reinterpret_cast<const unsigned char*>(address.call(packed)),
            static_cast<size_t>(size.call(packed))};
}

bool needs_gradient(const torch::Tensor& x) {
    return at::GradMode::is_enabled() && x.requires_grad();
}

torch::Tensor pack_linear(const torch::Tensor& weight) {
    static const auto reorder =
        operator_named<torch::Tensor(const torch::Tensor&, std::optional<int64_t>)>(
            "mkldnn::_reorder_linear_weight");
    return reorder.call(weight.detach().contiguous(), std::nullopt);
}

torch::Tensor packed_linear(const torch::Tensor& x, const torch::Tensor& packed,
                            const torch::Tensor& bias, Epilogue epilogue,
                            const torch::Tensor& other) {
    switch (epilogue) {
        case Epilogue::none:
            return linear_with(x, packed, bias, "none");
        case Epilogue::gelu:
            return linear_with(x, packed, bias, "gelu");
        case Epilogue::add:
            return linear_with_other(x, other.contiguous(), packed, bias, "add");
        case Epilogue::times:
            return linear_with_other(x, other, packed, bias, "mul");
    }
    TORCH_CHECK(false, "epilogue out of range: ", static_cast<int>(epilogue));
}

torch::Tensor pack_conv2d(const torch::Tensor& weight, const ConvGeometry& geometry,
                          torch::IntArrayRef input) {
    static const auto reorder =
        operator_named<torch::Tensor(const torch::Tensor&, torch::IntArrayRef, torch::IntArrayRef,
                                     torch::IntArrayRef, int64_t, c10::OptionalArrayRef<int64_t>)>(
            "mkldnn::_reorder_convolution_weight");
    const std::array<int64_t, 2> stride{geometry.stride, geometry.stride};
    return reorder.call(weight.detach().contiguous(), geometry.padding, stride, {1, 1}, 1, input);
}

torch::Tensor packed_conv2d(const torch::Tensor& x, const torch::Tensor& packed,
                            const torch::Tensor& bias, const ConvGeometry& geometry,
                            const torch::Tensor& other) {
    const bool single_pixel = other.defined() && other.size(2) * other.size(3) == 1;
    if (single_pixel) {  // LibTorch loses track of its layout, and oneDNN refuses it
        return conv_alone(channels_last(x), packed, bias, geometry) + other;
    }
    return other.defined()
               ? conv_plus(channels_last(x), channels_last(other), packed, bias, geometry)
               : conv_alone(channels_last(x), packed, bias, geometry);
}

void add_packed_conv2d(torch::Tensor& out, const torch::Tensor& x, const torch::Tensor& packed,
                       const torch::Tensor& bias, const ConvGeometry& geometry) {
    TORCH_CHECK(out.is_contiguous(torch::MemoryFormat::ChannelsLast), "out ", out.sizes(),
                " is not channels-last: ", out.strides());
    torch::Tensor target = channels_last(out);  // the same memory
    add_conv(target, channels_last(x), packed, bias, geometry);
}

}  // namespace weft
