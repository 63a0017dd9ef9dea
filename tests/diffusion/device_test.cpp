#include "diffusion/device.h"

#include <ATen/Parallel.h>

#include <catch2/catch.hpp>

#include "io/files/error.h"

using namespace weft;

TEST_CASE("the CPU is always there, in the precision asked for") {
    CHECK(choose_placement({.device = "cpu", .dtype = "f32"}).dtype == torch::kFloat32);
    CHECK(choose_placement({.device = "cpu", .dtype = "bf16"}).dtype == torch::kBFloat16);
    CHECK(choose_placement({.device = "cpu", .dtype = "f16"}).dtype == torch::kFloat16);
    const Placement placement = choose_placement({.device = "cpu", .dtype = "auto"});
    CHECK(placement.device.is_cpu());
    CHECK((placement.dtype == torch::kBFloat16) == cpu_has_bf16());
    CHECK_FALSE(describe_cpu().empty());
}

TEST_CASE("unknown devices and precisions are usage errors") {
    for (const char* device : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:123456", ""})
        CHECK_THROWS_AS(choose_placement({.device = device, .dtype = "f32"}), UsageError);
    CHECK_THROWS_AS(choose_placement({.device = "cpu", .dtype = "f64"}), UsageError);
    CHECK_THROWS_AS(set_threads(-1), UsageError);
}

TEST_CASE("a GPU that is not there is told, and auto goes on without") {
    CHECK(cuda_usable() == cuda_problem().empty());
    CHECK(choose_placement({}).device.is_cuda() == cuda_usable());
    if (!cuda_usable())
        CHECK_THROWS_WITH(choose_placement({.device = "cuda", .dtype = "auto"}),
                          Catch::Contains("--device cpu"));
    CHECK_THROWS_AS(choose_placement({.device = "cuda:99", .dtype = "auto"}), Error);
}

TEST_CASE("threads are set, and 0 leaves them") {
    const int before = at::get_num_threads();
    set_threads(0);
    CHECK(at::get_num_threads() == before);
    set_threads(1);
    CHECK(at::get_num_threads() == 1);
    set_threads(before);
}
