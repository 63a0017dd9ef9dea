#include "diffusion/flash_attention.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "diffusion/attention.h"
#include "diffusion/flash.h"

namespace weft {
namespace {

// Attention by its definition, in f64.
torch::Tensor exact(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                    int64_t heads) {
    const auto split = [&](const torch::Tensor& x) {
        return x.to(torch::kFloat64)
            .reshape({x.size(0), x.size(1), heads, x.size(2) / heads})
            .transpose(1, 2);
    };
    const double scale = 1 / std::sqrt(static_cast<double>(q.size(2) / heads));
    const torch::Tensor weights =
        torch::softmax(torch::matmul(split(q), split(k).transpose(2, 3)) * scale, -1);
    return torch::matmul(weights, split(v)).transpose(1, 2).reshape(q.sizes());
}

double difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a.to(torch::kFloat64) - b.to(torch::kFloat64)).abs().max().item<double>();
}

struct Sizes {
    int64_t frames, heads, queries, keys, width;
};

// Widths of whole and broken rows of registers; tokens of whole and broken tiles and blocks.
const std::vector<Sizes> all_sizes = {
    {1, 8, 200, 200, 40}, {2, 3, 48, 64, 8},    {1, 2, 1, 1, 1},    {1, 1, 17, 77, 5},
    {2, 2, 193, 65, 64},  {1, 1, 33, 129, 160}, {3, 1, 7, 300, 12}, {1, 1, 400, 3, 80}};

}  // namespace

TEST_CASE("flash attention is softmax(q k^T / sqrt(d)) v", "[flash]") {
    const torch::NoGradGuard inference;
    torch::manual_seed(1);
    for (const Sizes& s : all_sizes) {
        const torch::Tensor q = torch::randn({s.frames, s.queries, s.heads * s.width});
        if (!can_flash(q, q, q)) {
            return;  // no vector unit it is written for
        }
        const torch::Tensor k = torch::randn({s.frames, s.keys, s.heads * s.width});
        const torch::Tensor v = torch::randn({s.frames, s.keys, s.heads * s.width});
        const torch::Tensor expected = exact(q, k, v, s.heads);
        CHECK(difference(flash_attention(q, k, v, s.heads), expected) < 5e-6);
        // Sharp and huge scores, whose exponentials overflow without the running maximum.
        const torch::Tensor sharp = exact(100 * q, k, v, s.heads);
        CHECK(difference(flash_attention(100 * q, k, v, s.heads), sharp) < 2e-4);
        // attend() takes the same way, and agrees with LibTorch's kernel, which masks lead to.
        CHECK(torch::equal(attend(q, k, v, {.heads = s.heads}), flash_attention(q, k, v, s.heads)));
    }
}

TEST_CASE("flash attention reads views and keeps its bits on any number of threads", "[flash]") {
    const torch::NoGradGuard inference;
    torch::manual_seed(2);
    const torch::Tensor all = torch::randn({2, 500, 3 * 64});
    const std::vector<torch::Tensor> parts = all.chunk(3, 2);
    if (!can_flash(parts[0], parts[1], parts[2])) {
        return;
    }
    const torch::Tensor once = flash_attention(parts[0], parts[1], parts[2], 2);
    CHECK(torch::equal(once, flash_attention(parts[0].contiguous(), parts[1].contiguous(),
                                             parts[2].contiguous(), 2)));
    CHECK(torch::equal(once, flash_attention(parts[0].transpose(1, 2).contiguous().transpose(1, 2),
                                             parts[1], parts[2], 2)));
    const int threads = at::get_num_threads();
    at::set_num_threads(threads == 1 ? 3 : 1);
    CHECK(torch::equal(once, flash_attention(parts[0], parts[1], parts[2], 2)));
    at::set_num_threads(threads);
}

TEST_CASE("flash attention in bf16, with NaN and with gradients", "[flash]") {
    torch::manual_seed(3);
    const torch::Tensor q = torch::randn({1, 70, 32});
    const torch::Tensor k = torch::randn({1, 90, 32});
    if (!can_flash(q, k, k)) {
        return;
    }
    const torch::Tensor half =
        flash_attention(q.to(torch::kBFloat16), k.to(torch::kBFloat16), k.to(torch::kBFloat16), 2);
    CHECK(half.scalar_type() == torch::kBFloat16);
    CHECK(difference(half, exact(q, k, k, 2)) < 3e-2);
    torch::Tensor broken = k.clone();
    broken[0][5][3] = std::nan("");
    CHECK(flash_attention(q, broken, k, 1).isnan().all().item<bool>());
    CHECK_FALSE(can_flash(q.clone().requires_grad_(), k, k));
    CHECK_FALSE(can_flash(q.to(torch::kFloat64), k, k));
}

#if defined(__x86_64__)
TEST_CASE("the kernel for AVX2 agrees with the one in use", "[flash]") {
    const torch::NoGradGuard inference;
    torch::manual_seed(4);
    if (at::get_cpu_capability() != "AVX512") {
        return;  // it is the one in use, or cannot run
    }
    for (const Sizes& s : all_sizes) {
        const torch::Tensor q = torch::randn({1, s.queries, s.width});
        const torch::Tensor k = torch::randn({1, s.keys, s.width});
        const torch::Tensor out = torch::empty_like(q);
        const torch::Tensor scratch = torch::empty({flash_scratch(s.width)});
        FlashHead head;
        head.q = q.const_data_ptr<float>();
        head.k = k.const_data_ptr<float>();
        head.v = head.k;
        head.out = out.mutable_data_ptr<float>();
        head.q_row = head.k_row = head.v_row = head.out_row = head.width = s.width;
        head.queries = s.queries;
        head.keys = s.keys;
        head.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.width)));
        for (int64_t first = 0; first < s.queries; first += flash_queries) {
            flash_avx2(head, first, scratch.mutable_data_ptr<float>());
        }
        CHECK(difference(out, exact(q, k, k, 1)) < 5e-6);
    }
}
#endif

}  // namespace weft
