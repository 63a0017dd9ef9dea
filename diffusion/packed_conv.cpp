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

#include "diffusion/winograd_conv.h"

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

bool by_winograd(const ConvCase& conv) {
    return suits_winograd(conv.dtype, conv.weight, conv.geometry);
}

// The format of a case, found once a process.
uint64_t format_of(const ConvCase& conv) {
    constexpr uint64_t winograd = 0;
    static std::mutex mutex;
    static auto* const found = new std::map<ConvCase, uint64_t>;
    if (by_winograd(conv)) {
        return winograd;
    }
    const std::lock_guard lock(mutex);
    const auto known = found->find(conv);
    return known != found->end() ? known->second
                                 : found->emplace(conv, find_format(conv)).first->second;
}

// A weight as a case wants it.
struct Kept {
    ConvCase made_for;
    torch::Tensor packed;

    bool winograd() const { return !packed.is_mkldnn(); }

    torch::Tensor plain() const {
        return winograd() ? plain_of_winograd(packed) : unpacked(packed);
    }
};

Kept pack(const torch::Tensor& plain, const ConvCase& conv) {
    return {conv, by_winograd(conv) ? winograd_weight(plain)
                                    : pack_conv2d(plain, conv.geometry, conv.input)};
}

}  // namespace

class PackedConv2d::Formats {
  public:
    explicit Formats(torch::Tensor weight) : plain_(std::move(weight)) {}

    // The weight as maps of this size want it.
    Kept fit(torch::IntArrayRef input, const ConvGeometry& geometry) {
        const std::lock_guard lock(mutex_);
        if (kept_.empty()) {
            keep(pack(plain_, {plain_.scalar_type(), four(plain_.sizes()), four(input), geometry,
                               at::get_num_threads()}));
            plain_.reset();
            return kept_[0];
        }
        const ConvCase& known = kept_[0].made_for;
        const ConvCase wanted{known.dtype, known.weight, four(input), geometry,
                              at::get_num_threads()};
        for (const bool by_format : {false, true}) {
            for (Kept& kept : kept_) {
                if (by_format ? format_of(kept.made_for) == format_of(wanted)
                              : kept.made_for == wanted) {
                    std::swap(kept, kept_[0]);
                    return kept_[0];
                }
            }
        }
        keep(pack(kept_[0].plain(), wanted));
        return kept_[0];
    }

    torch::Tensor plain() {
        const std::lock_guard lock(mutex_);
        return kept_.empty() ? plain_ : kept_[0].plain();
    }

  private:
    // Puts it first; what was last goes where there are two already.
    void keep(Kept kept) {
        if (kept_.size() > 1) {
            kept_.pop_back();
        }
        kept_.insert(kept_.begin(), std::move(kept));
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
    const Kept fitting = formats_->fit(x.sizes(), geometry);
    return (fitting.winograd() ? winograd_conv2d : packed_conv2d)(x, fitting.packed, bias, geometry,
                                                                  other);
}

void PackedConv2d::add_to(torch::Tensor& out, const torch::Tensor& x, const torch::Tensor& bias,
                          const ConvGeometry& geometry) const {
    const Kept fitting = formats_->fit(x.sizes(), geometry);
    (fitting.winograd() ? add_winograd_conv2d : add_packed_conv2d)(out, x, fitting.packed, bias,
                                                                   geometry);
}

torch::Tensor PackedConv2d::weight() const {
    return formats_->plain();
}

}  // namespace weft
