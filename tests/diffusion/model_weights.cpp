#include "diffusion/model_weights.h"

#include <catch2/catch.hpp>

#include <filesystem>

#include "diffusion/model.h"
#include "io/files/model_folder.h"
#include "tests/fixtures/tiny_model.h"

using namespace weft;
namespace fs = std::filesystem;

namespace {

// Writes a component's tensors anew with some more.
void add_tensors(const fs::path& model, const std::string& component, const NamedTensors& more) {
    NamedTensors all = more;
    const auto files = ModelFolder(model).weight_files(component);
    for (const auto& [name, lazy] : lazy_tensors(files))
        all.emplace_back(name, lazy.read().clone());
    const std::string stem = files.front().stem().string();
    for (const fs::path& file : files) fs::remove(file);
    save_sharded(model / component, stem.substr(0, stem.find("-0")), all);
}

}  // namespace

TEST_CASE("tensors that no layer takes are told once, harmless ones not", "[model]") {
    const TemporaryFolder folder;
    write_tiny_model(folder.path());
    const DeviceChoice cpu{.device = "cpu", .dtype = "f32"};
    CHECK(DiffusionModel::load(folder.path(), cpu)->notes().empty());
    add_tensors(
        folder.path(), "unet",
        {{"strange.weight", torch::ones({2})}, {"mid_block.attentions.9.bias", torch::ones({2})}});
    add_tensors(folder.path(), "text_encoder",
                {{"text_model.embeddings.position_ids", torch::ones({1, 77})}});
    const auto model = DiffusionModel::load(folder.path(), cpu);
    REQUIRE(model->notes().size() == 1);
    for (const char* part : {"2 tensors are not used", "'unet: strange.weight'", "attentions.9"})
        CHECK_THAT(model->notes().front(), Catch::Contains(part));
    CHECK_THAT(model->notes().front(), !Catch::Contains("position_ids"));
}
