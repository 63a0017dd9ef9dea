#include "io/files/safetensors.h"

#include <array>
#include <catch2/catch.hpp>

#include "tests/io/files/scratch.h"

namespace weft {

namespace {

// Counts up, so that every element of every dtype differs from its neighbour.
torch::Tensor counted(torch::IntArrayRef shape, torch::ScalarType dtype) {
    const auto numbers = at::arange(at::empty(shape).numel(), torch::kFloat32).reshape(shape);
    return dtype == torch::kBool ? numbers.remainder(2).eq(1) : numbers.to(dtype);
}

bool same_bits(const torch::Tensor& a, const torch::Tensor& b) {
    return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
           a.reshape(-1).view(torch::kUInt8).equal(b.reshape(-1).view(torch::kUInt8));
}

std::vector<std::string> files_in(const std::filesystem::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace

TEST_CASE("every dtype comes back bit for bit") {
    const Scratch scratch;
    const std::vector<torch::ScalarType> dtypes{
        torch::kFloat32, torch::kFloat16,       torch::kBFloat16,   torch::kFloat64,
        torch::kInt64,   torch::kInt32,         torch::kInt16,      torch::kInt8,
        torch::kUInt8,   torch::kBool,          torch::kUInt16,     torch::kUInt32,
        torch::kUInt64,  torch::kFloat8_e4m3fn, torch::kFloat8_e5m2};
    NamedTensors tensors;
    for (const auto dtype : dtypes) {
        tensors.emplace_back(c10::str("t.", c10::toString(dtype)), counted({3, 5}, dtype));
    }
    save_safetensors(scratch / "all.safetensors", tensors, {{"format", "pt"}, {"a \"b\"", "\n"}});
    const SafeTensors file(scratch / "all.safetensors");
    CHECK(file.entries().size() == tensors.size());
    CHECK(file.metadata().at("a \"b\"") == "\n");
    for (const auto& [name, tensor] : tensors) {
        INFO(name);
        CHECK(same_bits(file.tensor(name), tensor));
    }
}

TEST_CASE("scalars, empty and non-contiguous tensors round trip") {
    const Scratch scratch;
    const auto grid = counted({4, 6}, torch::kFloat32);
    const NamedTensors tensors{{"scalar", at::scalar_tensor(2.5)},
                               {"empty", at::zeros({3, 0, 2})},
                               {"turned", grid.t()},
                               {"slice", grid.slice(1, 1, 5, 2)},
                               {"grad", at::ones({2}).requires_grad_(true)}};
    save_safetensors(scratch / "x.safetensors", tensors);
    const SafeTensors file(scratch / "x.safetensors");
    for (const auto& [name, tensor] : tensors) {
        INFO(name);
        CHECK(same_bits(file.tensor(name), tensor.detach()));
    }
    save_safetensors(scratch / "none.safetensors", {});
    CHECK(SafeTensors(scratch / "none.safetensors").entries().empty());
}

TEST_CASE("a tensor is a view that outlives its file object and never changes the file") {
    const Scratch scratch;
    const auto path = scratch / "x.safetensors";
    save_safetensors(path, {{"a", at::ones({8})}});
    torch::Tensor view;
    {
        const SafeTensors file(path);
        view = file.tensor("a");
        CHECK(view.data_ptr() == file.tensor("a").data_ptr());
    }
    view.mul_(3);
    CHECK(view.sum().item<float>() == 24);
    CHECK(SafeTensors(path).tensor("a").sum().item<float>() == 8);
}

TEST_CASE("tensors start at multiples of their element size") {
    const Scratch scratch;
    save_safetensors(scratch / "x.safetensors", {{"a", at::ones({3}, torch::kUInt8)},
                                                 {"b", at::ones({1}, torch::kFloat16)},
                                                 {"c", at::ones({1})},
                                                 {"d", at::ones({1}, torch::kInt64)}});
    const SafeTensors file(scratch / "x.safetensors");
    for (const auto& [name, entry] : file.entries()) {
        CHECK(entry.begin_byte % static_cast<int64_t>(c10::elementSize(entry.dtype)) == 0);
    }
}

TEST_CASE("unaligned data is read right") {
    const Scratch scratch;
    // A header of 71 bytes puts the only tensor at byte 79 of the file.
    const std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
    std::string padded = header + std::string(71 - header.size(), ' ');
    std::string bytes{static_cast<char>(padded.size()), 0, 0, 0, 0, 0, 0, 0};
    const std::array<float, 2> values{1.5F, -2};
    bytes += padded;
    bytes.append(reinterpret_cast<const char*>(values.data()), sizeof values);
    const auto tensor = SafeTensors(scratch.write("x.safetensors", bytes)).tensor("a");
    CHECK(reinterpret_cast<uintptr_t>(tensor.data_ptr()) % alignof(float) == 0);
    CHECK(tensor.equal(at::tensor({1.5F, -2.0F})));
}

TEST_CASE("bytes that are no bool are read as true") {
    const Scratch scratch;
    const std::string header = R"({"a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})";
    std::string bytes{static_cast<char>(header.size()), 0, 0, 0, 0, 0, 0, 0};
    bytes += header + std::string("\0\x01\x80", 3);
    const auto tensor = SafeTensors(scratch.write("x.safetensors", bytes)).tensor("a");
    CHECK(tensor.to(torch::kInt64).sum().item<int64_t>() == 2);
}

TEST_CASE("a small model stays one file, a large one is cut into shards with an index") {
    const Scratch scratch;
    NamedTensors tensors;
    for (int i = 0; i < 7; ++i) {
        tensors.emplace_back(c10::str("layer.", i), counted({10}, torch::kFloat32));
    }
    save_sharded(scratch.folder(), "model", tensors, 10'000);
    CHECK(files_in(scratch.folder()) == std::vector<std::string>({"model.safetensors"}));

    save_sharded(scratch.folder(), "model", tensors, 650);  // two fit, headers included
    CHECK(files_in(scratch.folder()) ==
          std::vector<std::string>(
              {"model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
               "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors",
               "model.safetensors.index.json"}));
    for (const auto& [name, tensor] : tensors) {
        const int shard = 1 + (name.back() - '0') / 2;
        const auto path = scratch / c10::str("model-0000", shard, "-of-00004.safetensors");
        CHECK(std::filesystem::file_size(path) <= 650);
        const SafeTensors file(path);
        CHECK(same_bits(file.tensor(name), tensor));
    }

    save_sharded(scratch.folder(), "model", tensors, 1);  // one tensor a file, never less
    CHECK(scratch.entries() == 8);
}

TEST_CASE("writing replaces a file whole or leaves it as it was") {
    const Scratch scratch;
    const auto path = scratch / "x.safetensors";
    save_safetensors(path, {{"a", at::ones({2})}});
    CHECK_THROWS_AS(save_safetensors(path, {{"a", at::ones({2})}, {"a", at::ones({2})}}),
                    c10::Error);
    CHECK_THROWS_AS(save_safetensors(path, {{"a", at::ones({2}, torch::kComplexFloat)}}),
                    c10::Error);
    CHECK(SafeTensors(path).tensor("a").numel() == 2);
    save_safetensors(path, {{"b", at::ones({3})}});
    CHECK(SafeTensors(path).tensor("b").numel() == 3);
    CHECK(scratch.entries() == 1);
}

}  // namespace weft
