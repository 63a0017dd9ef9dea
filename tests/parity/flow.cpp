#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "io/files/safetensors.h"
#include "temporal/flow_estimator.h"
#include "temporal/raft.h"
#include "tests/parity/reference.h"

namespace weft {
namespace {

torch::Tensor whole(const torch::Tensor& stored) {
    return stored.to(torch::kFloat32).repeat_interleave(2, 2).repeat_interleave(2, 3);
}

torch::Tensor thirds(const torch::Tensor& flow) {
    return flow.slice(2, 0, torch::nullopt, 3).slice(3, 0, torch::nullopt, 3);
}

/// The network's weights as a file of their own, as a user would have it.
std::filesystem::path weights_file(const std::string& name) {
    const SafeTensors reference(std::filesystem::path(WEFT_SOURCE_DIR) / "tests/parity/references" /
                                (name + ".safetensors"));
    NamedTensors tensors;
    for (const auto& [key, entry] : reference.entries()) {
        if (key.starts_with("model.")) {
            tensors.emplace_back(key.substr(6), reference.tensor(key));
        }
    }
    const auto path =
        std::filesystem::temp_directory_path() / ("weft_test_" + name + ".safetensors");
    save_safetensors(path, tensors);
    return path;
}

}  // namespace

TEST_CASE("RAFT answers as torchvision does", "[flow]") {
    const auto* name = GENERATE("raft_tiny_large", "raft_tiny_small");
    INFO(name);
    const torch::NoGradGuard inference;
    const Reference reference(name);
    const auto weights = reference.weights();
    const Raft raft(weights);
    CHECK(weights.unused().empty());
    const auto run = reference.run(0);
    constexpr int64_t updates = 12;
    const auto flows = raft(whole(run.in.at("target")), whole(run.in.at("source")), updates, true);
    REQUIRE(flows.size() == updates);
    CHECK(max_error(thirds(flows.front()), run.out.at("flow.0")) <= 1e-4);
    CHECK(max_error(thirds(flows.back()), run.out.at("flow.11")) <= 1e-4);
}

TEST_CASE("RAFT estimates pictures of any size", "[flow]") {
    const torch::NoGradGuard inference;
    const auto path = weights_file("raft_tiny_small");
    const auto estimator = make_flow_estimator("raft", {.weights = path});
    const auto pictures = torch::rand({2, 3, 70, 150});
    const auto flow = (*estimator)(pictures, pictures.flip(3));
    CHECK(flow.sizes() == torch::IntArrayRef({2, 2, 70, 150}));
    const auto second = (*estimator)(pictures.slice(0, 1), pictures.slice(0, 1).flip(3));
    CHECK(max_error(flow.slice(0, 1), second) <= 1e-4);
    std::filesystem::remove(path);
}

TEST_CASE("RAFT weights that do not fit are refused", "[flow]") {
    CHECK_THROWS_WITH(make_flow_estimator("raft"), Catch::Contains("needs its trained weights"));
    const auto of = [](const std::string& name, torch::IntArrayRef shape) {
        return Weights::of({{name, torch::zeros(shape)}}, "test");
    };
    CHECK_THROWS_WITH(Raft(of("x", {1})), Catch::Contains("feature_encoder.convnormrelu.0.weight"));
    CHECK_THROWS_WITH(Raft(of("feature_encoder.convnormrelu.0.weight", {8, 3})),
                      Catch::Contains("not 4"));
    CHECK_THROWS_WITH(Raft(of("feature_encoder.convnormrelu.0.weight", {8, 4, 7, 7})),
                      Catch::Contains("[8, 3, 7, 7]"));
}

}  // namespace weft
