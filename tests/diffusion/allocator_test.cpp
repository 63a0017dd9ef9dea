#include "diffusion/allocator.h"

#include <catch2/catch.hpp>

namespace weft {
namespace {

constexpr int64_t mib = int64_t{1} << 20;

torch::Tensor block(int64_t bytes) {
    return torch::empty({bytes}, torch::kUInt8);
}

}  // namespace

// One case: the allocator of a process is installed once.
TEST_CASE("large blocks are reused, bounded and given back", "[allocator]") {
    install_allocator({.kept_bytes = 64 * mib});
    release_kept_blocks();
    const AllocatorUse before = allocator_use();

    {  // A block of the same size comes back without the kernel.
        const torch::Tensor first = block(8 * mib);
        CHECK(allocator_use().live >= before.live + 8 * mib);
        CHECK(reinterpret_cast<uintptr_t>(first.data_ptr()) % (2 * mib) == 0);
    }
    CHECK(allocator_use().kept == 8 * mib);
    const size_t mapped = allocator_use().mapped;
    for (int i = 0; i < 10; ++i) {
        block(8 * mib).fill_(i);
    }
    CHECK(allocator_use().mapped == mapped);
    CHECK(allocator_use().live == before.live);

    // What is kept stays below the limit, whatever the sizes.
    for (int64_t i = 1; i < 40; ++i) {
        block(i * mib).fill_(1);
        CHECK(allocator_use().kept <= 64 * mib);
    }
    // A block above the limit is not kept at all; small ones are none of its business.
    release_kept_blocks();
    block(100 * mib);
    block(1000);
    CHECK(allocator_use().kept == 0);

    // Growing keeps what was written.
    torch::Tensor grown = torch::full({2 * mib}, 7, torch::kUInt8);
    grown.resize_({5 * mib});
    CHECK(grown.narrow(0, 0, 2 * mib).eq(7).all().item<bool>());
    CHECK_THROWS_WITH(block(int64_t{1} << 50), Catch::Contains("can't allocate memory"));
}

}  // namespace weft
