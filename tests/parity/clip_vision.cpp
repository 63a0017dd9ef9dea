#include "diffusion/clip_vision.h"

#include <catch2/catch.hpp>

#include "diffusion/clip.h"
#include "tests/parity/reference.h"

namespace weft {

TEST_CASE("CLIP's image tower answers as transformers does", "[clip]") {
    const Precision precision = GENERATE(f32, bf16);
    const torch::NoGradGuard inference;
    const Reference reference("clip_vision");
    const auto weights = reference.weights({.dtype = precision.dtype});
    const auto config = read_clip_vision_config(reference.config());
    CHECK(config.projection_dim == 10);
    const ClipVisionModel vision(config, weights);
    auto text_config = read_clip_text_config(reference.config());
    text_config.projection_dim = config.projection_dim;
    const ClipTextModel text(text_config, weights);
    CHECK(weights.unused() == std::vector<std::string>{"logit_scale"});

    const auto run = reference.run(0);
    const auto pixels = clip_pixels(run.in.at("picture"), config.image_size);
    CHECK(max_error(pixels, run.out.at("pixel_values")) <= 1e-5);
    const auto states = vision(run.out.at("pixel_values").to(precision.dtype));
    const auto near = [&](const torch::Tensor& ours, const torch::Tensor& theirs) {
        CHECK(precision.error(ours, theirs) <= precision.tolerance());
    };
    near(states.last_hidden_state, run.out.at("last_hidden_state"));
    near(states.pooled, run.out.at("pooled"));
    near(states.embeds, run.out.at("embeds"));
}

TEST_CASE("an impossible CLIP config is refused", "[clip]") {
    const auto read = [](const std::string& text) {
        return read_clip_vision_config(Config::parse(text, "config.json"));
    };
    CHECK_THROWS_WITH(read(R"({"vision_config": {"patch_size": 300}})"),
                      Catch::Contains("does not go together"));
    CHECK_THROWS_WITH(read(R"({"hidden_act": "tanh"})"), Catch::Contains("tanh"));
}

}  // namespace weft
