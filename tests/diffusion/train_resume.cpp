// A training run that is stopped and goes on ends at the same weights as one that was not.
#include <atomic>
#include <catch2/catch.hpp>

#include "diffusion/model.h"
#include "diffusion/train/train.h"
#include "io/files/error.h"
#include "io/files/safetensors.h"
#include "tests/fixtures/tiny_model.h"

namespace weft {
namespace {

Recipe tiny_recipe() {
    Recipe recipe;
    recipe.name = "tiny";
    recipe.seed = 7;
    recipe.text = {.width = 32, .layers = 1, .heads = 2, .merges = 20};
    recipe.autoencoder_shape.hidden_channels = 8;
    recipe.autoencoder_shape.encoder_blocks = 1;
    recipe.autoencoder_shape.decoder_blocks = 1;
    recipe.unet_shape = {.block_out_channels = {32, 32},
                         .layers_per_block = 1,
                         .attention_levels = 1,
                         .head_width = 16};
    recipe.autoencoder.steps = 4;
    recipe.autoencoder.batch = 2;
    recipe.autoencoder.crop = 32;
    recipe.autoencoder.pool = 4;
    recipe.unet.steps = 7;
    recipe.unet.warmup = 2;
    recipe.unet.pool = 1;
    recipe.unet.reuse = 2;
    recipe.unet.buckets = {{.height = 64, .width = 64, .batch = 2, .share = 2},
                           {.height = 64, .width = 64, .crop = 32, .batch = 4, .views = 2}};
    recipe.steps = 1;
    recipe.native_size = 64;
    recipe.edit_size = 64;
    return recipe;
}

TrainOptions quiet_options() {
    TrainOptions options;
    options.placement = {torch::kCPU, torch::kFloat32};
    options.previews = {torch::full({3, 64, 64}, 0.5)};
    return options;
}

/// Trains until `stage` has made `step` steps, then stops it as Ctrl-C does.
void train_until(const std::filesystem::path& folder, const std::string& stage, int64_t step) {
    std::atomic<bool> stop = false;
    auto options = quiet_options();
    options.hooks.stop = &stop;
    options.hooks.report_seconds = 0;
    options.hooks.report = [&](const TrainReport& report) {
        stop = report.stage == stage && report.step == step;
    };
    REQUIRE_THROWS_AS(train(tiny_recipe(), folder, options), Interrupted);
}

double largest_difference(const std::filesystem::path& a, const std::filesystem::path& b) {
    const SafeTensors left(a);
    const SafeTensors right(b);
    REQUIRE(left.entries().size() == right.entries().size());
    double largest = 0;
    for (const auto& [name, entry] : left.entries()) {
        REQUIRE(right.has(name));
        const auto difference = left.tensor(name).to(torch::kDouble) - right.tensor(name);
        largest = std::max(largest, difference.abs().max().item<double>());
    }
    return largest;
}

}  // namespace

TEST_CASE("a stopped training run goes on to the same weights", "[train]") {
    const TemporaryFolder folder;
    train(tiny_recipe(), folder / "whole", quiet_options());
    train_until(folder / "parts", "autoencoder", 2);
    train_until(folder / "parts", "unet", 3);
    train(tiny_recipe(), folder / "parts", quiet_options());
    for (const std::string component : {"autoencoder", "unet"}) {
        const auto name = "training/" + component + ".safetensors";
        CHECK(largest_difference(folder / "whole" / name, folder / "parts" / name) == 0);
    }

    const auto model = DiffusionModel::load(folder / "whole", {"cpu", "f32"});
    CHECK(model->traits().source_conditioned);
    CHECK(model->traits().native_size == 64);

    // With --init and no learning the other run's networks come out as they went in.
    auto recipe = tiny_recipe();
    recipe.unet.steps = 1;
    recipe.unet.learning_rate = 0;
    auto options = quiet_options();
    options.init = folder / "whole";
    train(recipe, folder / "more", options);
    for (const std::string file :
         {"unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors",
          "vae/diffusion_pytorch_model.safetensors"}) {
        CAPTURE(file);
        CHECK(largest_difference(folder / "whole" / file, folder / "more" / file) == 0);
    }
}

}  // namespace weft
