#include "diffusion/flash_attention.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <cmath>
#include <string>

#include "diffusion/device.h"
#include "diffusion/flash.h"
#include "diffusion/packed.h"

namespace weft {
namespace {

using FlashPass = void (*)(const FlashHead& head, int64_t first, float* scratch);

// The kernel for the vector unit that LibTorch uses; null where there is none.
FlashPass find_pass() {
#if defined(__x86_64__)
    const std::string unit = at::get_cpu_capability();
    if (unit == "AVX512") {
        return flash_avx512;
    }
    if (unit == "AVX2") {
        return flash_avx2;
    }
#endif
    return nullptr;
}

FlashPass pass_here() {
    static const FlashPass pass = find_pass();
    return pass;
}

bool plain_cpu(const torch::Tensor& x) {
    return x.is_cpu() && x.layout() == torch::kStrided && x.dim() == 3 && x.numel() > 0 &&
           !needs_gradient(x);
}

// f32, with the numbers of a row side by side.
torch::Tensor rows_of(const torch::Tensor& x) {
    const torch::Tensor y = x.to(torch::kFloat32);
    return y.stride(2) == 1 ? y : y.contiguous();
}

}  // namespace

bool can_flash(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v) {
    if (pass_here() == nullptr || !plain_cpu(q) || !plain_cpu(k) || !plain_cpu(v) ||
        q.scalar_type() != k.scalar_type() || q.scalar_type() != v.scalar_type()) {
        return false;
    }
    return q.scalar_type() == torch::kFloat32 ||
           (q.scalar_type() == torch::kBFloat16 && !cpu_has_amx());
}

torch::Tensor flash_attention(const torch::Tensor& q, const torch::Tensor& k,
                              const torch::Tensor& v, int64_t heads) {
    TORCH_CHECK(q.size(2) % heads == 0 && k.sizes() == v.sizes() && k.size(0) == q.size(0) &&
                    k.size(2) == q.size(2),
                "attention of ", q.sizes(), " to ", k.sizes(), " and ", v.sizes(), " in ", heads,
                " heads");
    const torch::Tensor from = rows_of(q);
    const torch::Tensor keys = rows_of(k);
    const torch::Tensor values = rows_of(v);
    const torch::Tensor out = torch::empty(q.sizes(), torch::kFloat32);
    const int64_t width = q.size(2) / heads;
    const int64_t passes = (q.size(1) + flash_queries - 1) / flash_queries;
    const auto head_at = [&](int64_t frame, int64_t head) {
        const auto start = [&](const torch::Tensor& x) {
            return x.const_data_ptr<float>() + frame * x.stride(0) + head * width;
        };
        return FlashHead{
            .q = start(from),
            .k = start(keys),
            .v = start(values),
            .out = out.mutable_data_ptr<float>() + frame * out.stride(0) + head * width,
            .q_row = from.stride(1),
            .k_row = keys.stride(1),
            .v_row = values.stride(1),
            .out_row = out.stride(1),
            .queries = q.size(1),
            .keys = k.size(1),
            .width = width,
            .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(width)))};
    };
    at::parallel_for(0, q.size(0) * heads * passes, 1, [&](int64_t begin, int64_t end) {
        const torch::Tensor scratch = torch::empty({flash_scratch(width)}, torch::kFloat32);
        for (int64_t i = begin; i < end; ++i) {
            const FlashHead head = head_at(i / passes / heads, i / passes % heads);
            pass_here()(head, i % passes * flash_queries, scratch.mutable_data_ptr<float>());
        }
    });
    return out.to(q.scalar_type());
}

}  // namespace weft
