#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>

#include "io/files/tensor_stream.h"
#include "io/files/weights.h"
#include "tests/io/files/scratch.h"

namespace weft {

namespace {

// Pages of this process that are in memory, file pages included.
int64_t resident_bytes() {
    std::ifstream file("/proc/self/statm");
    int64_t total = 0, resident = 0;
    file >> total >> resident;
    return resident * 4096;
}

std::filesystem::path save(const Scratch& scratch, const torch::Tensor& tensor) {
    auto path = scratch / "x.safetensors";
    save_safetensors(path, {{"good", at::ones({3})}, {"x", tensor}});
    return path;
}

std::string refusal(const std::filesystem::path& path, torch::ScalarType dtype) {
    return error_of([&] { Weights::load({path}, {.dtype = dtype}).at("x", {2}); });
}

}  // namespace

TEST_CASE("weights that are no numbers are named, in every dtype") {
    const Scratch scratch;
    for (const auto stored : {torch::kFloat32, torch::kFloat16, torch::kBFloat16, torch::kFloat64,
                              torch::kFloat8_e4m3fn, torch::kFloat8_e5m2}) {
        const auto path = save(scratch, at::tensor({1.0F, std::nanf("")}).to(stored));
        INFO(c10::toString(stored));
        CHECK(refusal(path, torch::kFloat32).find("tensor 'x' holds NaN or infinity") !=
              std::string::npos);
        CHECK(error_of([&] { Weights::load({path}).at("good", {3}); }).empty());
    }
    const auto infinite = save(scratch, at::tensor({1.0F, -INFINITY}));
    CHECK(refusal(infinite, torch::kFloat32).find("holds NaN") != std::string::npos);
    // Finite, but not in f16.
    const auto large = save(scratch, at::tensor({1.0F, 1e6F}));
    CHECK(refusal(large, torch::kFloat16).find("do not fit") != std::string::npos);
    CHECK(refusal(large, torch::kFloat32).empty());
    // Each finite, their sum not.
    CHECK(refusal(save(scratch, at::tensor({3e38F, 3e38F})), torch::kFloat32).empty());
}

TEST_CASE("every stored dtype comes out as asked for") {
    const Scratch scratch;
    const auto values = at::tensor({-1.5F, 0.25F});  // exact in all of them
    for (const auto stored : {torch::kFloat32, torch::kFloat16, torch::kBFloat16, torch::kFloat64,
                              torch::kFloat8_e4m3fn, torch::kFloat8_e5m2}) {
        const auto path = save(scratch, values.to(stored));
        for (const auto wanted : {torch::kFloat32, torch::kFloat16, torch::kBFloat16}) {
            const auto got = Weights::load({path}, {.dtype = wanted}).at("x", {2});
            CHECK(got.scalar_type() == wanted);
            CHECK(got.to(torch::kFloat32).equal(values));
        }
    }
}

TEST_CASE("loading holds the delivered weights and no second copy of the file") {
    const Scratch scratch;
    constexpr int64_t count = 16, size = int64_t{4} << 20;  // 16 tensors of 8 MiB in f16
    const auto path = scratch / "large.safetensors";
    std::vector<StreamedTensor> tensors;
    for (int64_t i = 0; i < count; ++i) {
        tensors.push_back({c10::str("t", i), torch::kFloat16, {size}, [] {
                               return at::ones({size}, torch::kFloat16);
                           }});
    }
    save_safetensors(path, std::move(tensors));
    const int64_t before = resident_bytes();
    const auto weights = Weights::load({path}, {.dtype = torch::kBFloat16});
    std::vector<torch::Tensor> held;
    int64_t largest = 0;
    for (int64_t i = 0; i < count; ++i) {
        held.push_back(weights.at(c10::str("t", i), {size}));
        // What is held so far, in bytes, is in memory anyway.
        largest = std::max(largest, resident_bytes() - before - (i + 1) * size * 2);
    }
    CHECK(held.back().sum(torch::kFloat32).item<float>() == static_cast<float>(size));
#ifndef WEFT_SANITIZED  // sanitizers keep freed memory for a while
    CHECK(largest < 3 * size * 2);
#endif
}

TEST_CASE("streamed files are the files that are written at once") {
    const Scratch scratch;
    const auto floats = at::arange(6).to(torch::kFloat32).view({2, 3});
    const auto bytes = at::ones({3}, torch::kUInt8);
    save_safetensors(scratch / "a.safetensors", {{"b", bytes}, {"f", floats}}, {{"k", "v"}});
    save_safetensors(scratch / "b.safetensors",
                     std::vector<StreamedTensor>{{"b", torch::kUInt8, {3}, [&] { return bytes; }},
                                                 {"f",
                                                  torch::kFloat32,
                                                  {3, 2},
                                                  [&] {
                                                      return floats.view({3, 2});
                                                  }}},
                     {{"k", "v"}});
    const SafeTensors file(scratch / "b.safetensors");
    CHECK(file.tensor("f").equal(floats.view({3, 2})));
    CHECK(file.tensor("b").equal(bytes));
    CHECK(file.metadata().at("k") == "v");
    CHECK(std::filesystem::file_size(scratch / "a.safetensors") ==
          std::filesystem::file_size(scratch / "b.safetensors"));
    CHECK_THROWS(save_safetensors(
        scratch / "c.safetensors",
        std::vector<StreamedTensor>{{"f", torch::kFloat32, {7}, [&] { return floats; }}}));
    CHECK(!std::filesystem::exists(scratch / "c.safetensors"));
}

}  // namespace weft
