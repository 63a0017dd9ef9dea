#include "diffusion/packed_conv.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace weft {
namespace {

// All that oneDNN's choice of a format follows from.
struct ConvCase {
    torch::ScalarType dtype;
    std::array<int64_t, 4> weight;  // [out, in, kernel, kernel]
    std::array<int64_t, 4> input;   // [n, in, h, w]
    ConvGeometry geometry;
    int threads;

    auto operator<=>(const ConvCase&) const = default;  // NOLINT(modernize-use-nullptr)
};

std::array<int64_t, 4> four(torch::IntArrayRef sizes) {
    TORCH_CHECK(sizes.size() == 4, "a convolution of ", sizes);
    return {sizes[0], sizes[1], sizes[2], sizes[3]};
}

// A weight whose numbers tell where they stand.
torch::Tensor numbered_weight(const ConvCase& conv) {
    const int64_t count = c10::multiply_integers(conv.weight);
    if (conv.dtype == torch::kFloat32) {
        return torch::arange(count, torch::kFloat32).reshape(conv.weight);
    }
    constexpr int64_t finite_bits = 0x3FFF;  // read as bf16 all of them are ordinary numbers
    return torch::arange(count, torch::kInt32)
        .bitwise_and_(finite_bits)
        .to(torch::kInt16)
        .view(conv.dtype)
        .reshape(conv.weight);
}

// A number that tells formats apart: a digest (FNV-1a) of samples of a packed numbered weight.
uint64_t digest_of(const torch::Tensor& packed, size_t element_bytes) {
    constexpr size_t most_samples = 4096;
    constexpr uint64_t offset = 14695981039346656037U;
    constexpr uint64_t prime = 1099511628211U;
    const PackedBytes bytes = packed_bytes(packed);
    const size_t count = bytes.size / element_bytes;
    const size_t step = count / most_samples | 1U;
    uint64_t digest = (offset ^ bytes.size) * prime;
    for (size_t i = 0; i < count; i += step) {
        uint32_t sample = 0;
        std::memcpy(&sample, bytes.data + i * element_bytes, element_bytes);
        digest = (digest ^ sample) * prime;
    }
    return digest;
}

uint64_t find_format(const ConvCase& conv) {
    const torch::Tensor packed = pack_conv2d(numbered_weight(conv), conv.geometry, conv.input);
    return digest_of(packed, c10::elementSize(conv.dtype));
}

// The format of a case, found once a process.
uint64_t format_of(const ConvCase& conv) {
    static std::mutex mutex;
    static auto* const found = new std::map<ConvCase, uint64_t>;
    const std::lock_guard lock(mutex);
    const auto known = found->find(conv);
    return known != found->end() ? known->second
                                 : found->emplace(conv, find_format(conv)).first->second;
}

}  // namespace

class PackedConv2d::Formats {
  public:
    explicit Formats(torch::Tensor weight) : plain_(std::move(weight)) {}

    // The weight as maps of this size want it.
    torch::Tensor fit(torch::IntArrayRef input, const ConvGeometry& geometry) {
        const std::lock_guard lock(mutex_);
        if (kept_.empty()) {
            keep(plain_, case_of(plain_, input, geometry));
            plain_.reset();
            return kept_[0].packed;
        }
        const ConvCase wanted = case_of(kept_[0].packed, input, geometry);
        for (const bool by_format : {false, true}) {
            for (Kept& kept : kept_) {
                if (by_format ? format_of(kept.made_for) == format_of(wanted)
                              : kept.made_for == wanted) {
                    std::swap(kept, kept_[0]);
                    return kept_[0].packed;
                }
            }
        }
        keep(unpacked(kept_[0].packed), wanted);
        return kept_[0].packed;
    }

    torch::Tensor plain() {
        const std::lock_guard lock(mutex_);
        return kept_.empty() ? plain_ : unpacked(kept_[0].packed);
    }

  private:
    struct Kept {
        ConvCase made_for;
        torch::Tensor packed;
    };

    static ConvCase case_of(const torch::Tensor& weight, torch::IntArrayRef input,
                            const ConvGeometry& geometry) {
        return {weight.scalar_type(), four(weight.sizes()), four(input), geometry,
                at::get_num_threads()};
    }

    // Puts it first; what was last goes where there are two already.
    void keep(const torch::Tensor& plain, const ConvCase& made_for) {
        const torch::Tensor packed = pack_conv2d(plain, made_for.geometry, made_for.input);
        if (kept_.size() > 1) {
            kept_.pop_back();
        }
        kept_.insert(kept_.begin(), {made_for, packed});
    }

    std::mutex mutex_;
    torch::Tensor plain_;     // until the first call
    std::vector<Kept> kept_;  // last used first
};

PackedConv2d::PackedConv2d(torch::Tensor weight)
    : formats_(std::make_shared<Formats>(std::move(weight))) {}

torch::Tensor PackedConv2d::operator()(const torch::Tensor& x, const torch::Tensor& bias,
                                       const ConvGeometry& geometry,
                                       const torch::Tensor& other) const {
    return packed_conv2d(x, formats_->fit(x.sizes(), geometry), bias, geometry, other);
}

void PackedConv2d::add_to(torch::Tensor& out, const torch::Tensor& x, const torch::Tensor& bias,
                          const ConvGeometry& geometry) const {
    add_packed_conv2d(out, x, formats_->fit(x.sizes(), geometry), bias, geometry);
}

torch::Tensor PackedConv2d::weight() const {
    return formats_->plain();
}

}  // namespace weft
