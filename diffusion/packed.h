#pragma once

#include <torch/types.h>

#include <array>
#include <compare>
#include <cstddef>

namespace weft {

// Note [Packed weights]
// oneDNN's kernels read weights in blocks. Given a plain weight LibTorch reorders it at every call,
// which at the deep levels of a UNet costs as much as the convolution itself. A packed weight is an
// opaque tensor (is_mkldnn()) that is reordered once, when the layer is made; it takes the place of
// the plain one, so nothing is kept twice. LibTorch's compiler freezes models with the same
// operators. They have no gradient: layers go back to unpacked() where one is asked for.

/// True where `weight` can be packed: on the CPU, in f32, or in bf16 where oneDNN has it, on a
/// LibTorch with oneDNN.
bool can_pack(const torch::Tensor& weight);

/// The plain weight of a packed one: the same values, contiguous. Costs a copy.
torch::Tensor unpacked(const torch::Tensor& packed);

/// What a packed weight holds, as long as it lives.
struct PackedBytes {
    const unsigned char* data = nullptr;
    size_t size = 0;
};

PackedBytes packed_bytes(const torch::Tensor& packed);

/// True where gradients flow through x.
bool needs_gradient(const torch::Tensor& x);

/// [out, in] -> packed.
torch::Tensor pack_linear(const torch::Tensor& weight);

/// What a product ends with, computed while its results are still in registers.
enum class Epilogue {
    none,
    gelu,   // the exact GELU
    add,    // + other
    times,  // * other
};

/// epilogue(x W^T + bias): x [..., in] -> [..., out].
/// @param bias  [out] or undefined
/// @param other [..., out] for add and times, else undefined
torch::Tensor packed_linear(const torch::Tensor& x, const torch::Tensor& packed,
                            const torch::Tensor& bias, Epilogue epilogue = Epilogue::none,
                            const torch::Tensor& other = {});

struct ConvGeometry {
    int64_t stride = 1;
    std::array<int64_t, 2> padding = {0, 0};  // zeros above and below, left and right

    // clang-tidy takes its comparison with 0 for one with a pointer.
    auto operator<=>(const ConvGeometry&) const = default;  // NOLINT(modernize-use-nullptr)
};

/// [out, in, kernel, kernel] -> packed.
/// @param input [n, in, h, w], the map it is packed for (Note [Formats])
torch::Tensor pack_conv2d(const torch::Tensor& weight, const ConvGeometry& geometry,
                          torch::IntArrayRef input);

/// conv2d(x) + bias (+ other): x [n, in, h, w] -> [n, out, h', w'], channels-last.
/// @param bias  [out] or undefined
/// @param other the result's shape, or undefined
torch::Tensor packed_conv2d(const torch::Tensor& x, const torch::Tensor& packed,
                            const torch::Tensor& bias, const ConvGeometry& geometry,
                            const torch::Tensor& other = {});
/// out += conv2d(x) + bias, in place. `out` is channels-last and may be a view of whole rows.
void add_packed_conv2d(torch::Tensor& out, const torch::Tensor& x, const torch::Tensor& packed,
                       const torch::Tensor& bias, const ConvGeometry& geometry);

}  // namespace weft
