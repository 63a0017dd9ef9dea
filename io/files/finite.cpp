#include "io/files/finite.h"

#include <cmath>

namespace weft {

bool all_finite(const torch::Tensor& tensor) {
    if (!at::isFloatingType(tensor.scalar_type())) {
        return true;
    }
    const bool is_byte = tensor.element_size() == 1;  // has no sums and no isfinite
    const auto wide = [&](const torch::Tensor& part) {
        return is_byte ? part.to(torch::kFloat32) : part;
    };
    if (!tensor.is_cpu()) {
        // One pass costs less than waiting for many.
        return at::isfinite(wide(tensor)).all().item<bool>();
    }
    // The sum of a piece runs at the speed of memory and is not finite wherever a value is not;
    // only then (or where it overflows) each value is looked at. Pieces, since sums of half
    // precision make a copy in f32.
    constexpr int64_t piece = int64_t{1} << 18;
    for (const torch::Tensor& stored : tensor.flatten().split(piece)) {
        const torch::Tensor part = wide(stored);
        if (!std::isfinite(part.sum(torch::kFloat32).item<float>()) &&
            !at::isfinite(part).all().item<bool>()) {
            return false;
        }
    }
    return true;
}

}  // namespace weft
