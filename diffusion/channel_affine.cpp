#include "diffusion/channel_affine.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace weft {
namespace {

constexpr int64_t pixels_per_block = 256;

// The bits of a bf16 number are the upper half of those of an f32 number.
using Bf16Bits = uint16_t;

float to_float(float value) {
    return value;
}

float to_float(Bf16Bits value) {
    return std::bit_cast<float>(static_cast<uint32_t>(value) << 16U);
}

void store(float value, float& out) {
    out = value;
}

// Rounds to the nearest even.
void store(float value, Bf16Bits& out) {
    const auto bits = std::bit_cast<uint32_t>(value);
    out = static_cast<Bf16Bits>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

// e^v to 1e-7 (Cephes' expf), in operations that vectorise.
float exponential(float v) {
    constexpr float log2_e = 1.44269504088896341F;
    constexpr float ln2_high = 0.693359375F;
    constexpr float ln2_low = -2.12194440e-4F;
    constexpr float to_integer = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
    v = v < -87.0F ? -87.0F : v;
    v = v > 88.0F ? 88.0F : v;
    const float shifted = v * log2_e + to_integer;
    const float n = shifted - to_integer;
    const float r = (v - n * ln2_high) - n * ln2_low;
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    // The whole number stands in the low bits of `shifted`; in the exponent's place it is 2^n.
    const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) << 23U) + 0x3F800000U;
    return (p * r * r + r + 1.0F) * std::bit_cast<float>(exponent);
}

float silu(float v) {
    return v / (1.0F + exponential(-v));
}

// A run of pixels, each `channels` numbers that lie together.
template <typename Number>
struct Pixels {
    const Number* data;
    int64_t count;
    int64_t channels;
};

// For each channel, the sums of (x - pivot) and of its square over all pixels.
struct Sums {
    const float* pivot;
    float* first;
    float* second;
};

template <typename Number>
void add_up(const Pixels<Number>& x, const Sums& sums) {
    for (int64_t i = 0; i < x.count; ++i) {
        const Number* pixel = x.data + i * x.channels;
        for (int64_t c = 0; c < x.channels; ++c) {
            const float value = to_float(pixel[c]) - sums.pivot[c];
            sums.first[c] += value;
            sums.second[c] += value * value;
        }
    }
}

struct AffineRow {
    const float* scale;
    const float* shift;
    AffineEnd end;
};

template <typename Number>
void apply_row(const Pixels<Number>& x, const AffineRow& row, Number* out) {
    for (int64_t i = 0; i < x.count; ++i) {
        const Number* from = x.data + i * x.channels;
        Number* to = out + i * x.channels;
        if (row.end == AffineEnd::silu) {
            for (int64_t c = 0; c < x.channels; ++c) {
                store(silu(to_float(from[c]) * row.scale[c] + row.shift[c]), to[c]);
            }
        } else {
            for (int64_t c = 0; c < x.channels; ++c) {
                store(to_float(from[c]) * row.scale[c] + row.shift[c], to[c]);
            }
        }
    }
}

// The loops above are compiled once for each level of vector units, and the loader picks by what
// the processor says it has. (A processor's own name would leave out its successors and other
// makers.)
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WEFT_VECTOR_UNITS \
    __attribute__((flatten, target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WEFT_VECTOR_UNITS
#endif

WEFT_VECTOR_UNITS void add_up_floats(const Pixels<float>& x, const Sums& sums) {
    add_up(x, sums);
}

WEFT_VECTOR_UNITS void add_up_halves(const Pixels<Bf16Bits>& x, const Sums& sums) {
    add_up(x, sums);
}

WEFT_VECTOR_UNITS void apply_floats(const Pixels<float>& x, const AffineRow& row, float* out) {
    apply_row(x, row, out);
}

WEFT_VECTOR_UNITS void apply_halves(const Pixels<Bf16Bits>& x, const AffineRow& row,
                                    Bf16Bits* out) {
    apply_row(x, row, out);
}

#undef WEFT_VECTOR_UNITS

void run_add_up(const Pixels<float>& x, const Sums& sums) {
    add_up_floats(x, sums);
}

void run_add_up(const Pixels<Bf16Bits>& x, const Sums& sums) {
    add_up_halves(x, sums);
}

void run_apply(const Pixels<float>& x, const AffineRow& row, float* out) {
    apply_floats(x, row, out);
}

void run_apply(const Pixels<Bf16Bits>& x, const AffineRow& row, Bf16Bits* out) {
    apply_halves(x, row, out);
}

template <typename Number>
const Number* numbers(const torch::Tensor& x) {
    return static_cast<const Number*>(x.const_data_ptr());
}

template <typename Number>
Number* mutable_numbers(const torch::Tensor& x) {
    return static_cast<Number*>(x.mutable_data_ptr());
}

// Mean and summed squared deviation of each channel of one frame.
struct ChannelMoments {
    std::vector<double> mean;
    std::vector<double> squares;
};

// The first pixel is the pivot, so that a large mean does not swallow the variance.
template <typename Number>
ChannelMoments channel_moments(const Pixels<Number>& frame) {
    const int64_t blocks = (frame.count + pixels_per_block - 1) / pixels_per_block;
    const int64_t channels = frame.channels;
    std::vector<float> pivot(channels);
    std::transform(frame.data, frame.data + channels, pivot.begin(),
                   [](Number value) { return to_float(value); });
    std::vector<float> sums(2 * blocks * channels, 0.0F);
    at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
            const int64_t first = b * pixels_per_block;
            float* own = sums.data() + 2 * b * channels;
            run_add_up(Pixels<Number>{frame.data + first * channels,
                                      std::min(pixels_per_block, frame.count - first), channels},
                       Sums{pivot.data(), own, own + channels});
        }
    });
    ChannelMoments moments{std::vector<double>(channels), std::vector<double>(channels)};
    for (int64_t b = 0; b < blocks; ++b) {
        for (int64_t c = 0; c < channels; ++c) {
            moments.mean[c] += sums[2 * b * channels + c];
            moments.squares[c] += sums[(2 * b + 1) * channels + c];
        }
    }
    const auto count = static_cast<double>(frame.count);
    for (int64_t c = 0; c < channels; ++c) {
        const double offset = moments.mean[c] / count;
        moments.squares[c] -= moments.mean[c] * offset;
        moments.mean[c] = pivot[c] + offset;
    }
    return moments;
}

// Mean and 1 / deviation of each group, from the moments of its channels.
struct GroupMoments {
    double mean;
    double scale;
};

GroupMoments group_moments(const ChannelMoments& channel, int64_t first, int64_t width,
                           double pixels, double eps) {
    double mean = 0;
    for (int64_t c = first; c < first + width; ++c) {
        mean += channel.mean[c] / static_cast<double>(width);
    }
    double squares = 0;
    for (int64_t c = first; c < first + width; ++c) {
        const double off = channel.mean[c] - mean;
        squares += channel.squares[c] + pixels * off * off;
    }
    const double variance = squares / (pixels * static_cast<double>(width));
    return {mean, 1 / std::sqrt(variance + eps)};
}

template <typename Number>
ChannelAffine affine_of(const torch::Tensor& x, const GroupNormTerms& terms) {
    const int64_t n = x.size(0);
    const int64_t channels = x.size(1);
    const int64_t pixels = x.size(2) * x.size(3);
    const int64_t width = channels / terms.groups;
    const torch::Tensor weight = terms.weight.to(torch::kFloat32).contiguous();
    const torch::Tensor bias = terms.bias.to(torch::kFloat32).contiguous();
    const torch::Tensor scale = torch::empty({n, channels}, torch::kFloat32);
    const torch::Tensor shift = torch::empty({n, channels}, torch::kFloat32);
    for (int64_t i = 0; i < n; ++i) {
        const ChannelMoments moments = channel_moments(
            Pixels<Number>{numbers<Number>(x) + i * pixels * channels, pixels, channels});
        for (int64_t c = 0; c < channels; ++c) {
            const GroupMoments group = group_moments(moments, c / width * width, width,
                                                     static_cast<double>(pixels), terms.eps);
            const double factor = group.scale * weight.const_data_ptr<float>()[c];
            mutable_numbers<float>(scale)[i * channels + c] = static_cast<float>(factor);
            mutable_numbers<float>(shift)[i * channels + c] =
                static_cast<float>(bias.const_data_ptr<float>()[c] - group.mean * factor);
        }
    }
    return {scale, shift};
}

// The same by LibTorch's operators, for other devices, dtypes and layouts.
ChannelAffine affine_anywhere(const torch::Tensor& x, const GroupNormTerms& terms) {
    const auto [variance, mean] = torch::var_mean(
        x.to(torch::kFloat32).reshape({x.size(0), terms.groups, -1}), torch::IntArrayRef{2}, false);
    const int64_t width = x.size(1) / terms.groups;
    const torch::Tensor scale =
        (variance + terms.eps).rsqrt().repeat_interleave(width, 1) * terms.weight;
    return {scale, terms.bias - mean.repeat_interleave(width, 1) * scale};
}

template <typename Number>
void apply_to(torch::Tensor& out, const torch::Tensor& x, const ChannelAffine& affine,
              AffineEnd end) {
    const int64_t channels = x.size(1);
    const int64_t pixels = x.size(2) * x.size(3);
    const auto* from = numbers<Number>(x);
    auto* to = mutable_numbers<Number>(out);
    for (int64_t i = 0; i < x.size(0); ++i) {
        const AffineRow row{affine.scale.const_data_ptr<float>() + i * channels,
                            affine.shift.const_data_ptr<float>() + i * channels, end};
        at::parallel_for(0, pixels, pixels_per_block, [&](int64_t begin, int64_t stop) {
            const int64_t at = (i * pixels + begin) * channels;
            run_apply(Pixels<Number>{from + at, stop - begin, channels}, row, to + at);
        });
    }
}

}  // namespace

bool can_apply_affine(const torch::Tensor& x) {
    return x.is_cpu() && x.dim() == 4 && x.numel() > 0 &&
           x.is_contiguous(torch::MemoryFormat::ChannelsLast) &&
           (x.scalar_type() == torch::kFloat32 || x.scalar_type() == torch::kBFloat16);
}

ChannelAffine group_norm_affine(const torch::Tensor& x, const GroupNormTerms& terms) {
    TORCH_CHECK(x.dim() == 4 && x.size(1) % terms.groups == 0, "group norm of ", x.sizes(), " in ",
                terms.groups, " groups");
    if (!can_apply_affine(x)) {
        return affine_anywhere(x, terms);
    }
    return x.scalar_type() == torch::kFloat32 ? affine_of<float>(x, terms)
                                              : affine_of<Bf16Bits>(x, terms);
}

void apply_affine_into(torch::Tensor& out, const torch::Tensor& x, const ChannelAffine& affine,
                       AffineEnd end) {
    TORCH_CHECK(out.sizes() == x.sizes() && out.scalar_type() == x.scalar_type(), "affine of ",
                x.sizes(), " into ", out.sizes());
    if (can_apply_affine(x) && out.is_contiguous(torch::MemoryFormat::ChannelsLast)) {
        x.scalar_type() == torch::kFloat32 ? apply_to<float>(out, x, affine, end)
                                           : apply_to<Bf16Bits>(out, x, affine, end);
        return;
    }
    const auto per_pixel = [](const torch::Tensor& t) { return t.unsqueeze(-1).unsqueeze(-1); };
    const torch::Tensor y = x * per_pixel(affine.scale) + per_pixel(affine.shift);
    out.copy_(end == AffineEnd::silu ? torch::silu(y) : y);
}

torch::Tensor apply_affine(const torch::Tensor& x, const ChannelAffine& affine, AffineEnd end) {
    torch::Tensor out = torch::empty_like(x);
    apply_affine_into(out, x, affine, end);
    return out;
}

}  // namespace weft
