#include "diffusion/plug_and_play.h"

#include <catch2/catch.hpp>

#include "diffusion/site_choice.h"
#include "io/files/error.h"
#include "temporal/noise.h"
#include "tests/fixtures/tiny_model.h"

namespace weft {
namespace {

double difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().max().item<double>();
}

std::shared_ptr<const DiffusionModel> load_tiny(TinyFamily family) {
    const TemporaryFolder folder;
    write_tiny_model(folder / "tiny", family);
    return DiffusionModel::load(folder / "tiny", {.device = "cpu", .dtype = "f32"});
}

// A model that takes a prompt alone, and three source frames' way into its noise.
struct Fixture {
    std::shared_ptr<const DiffusionModel> model = load_tiny(TinyFamily::plain);
    std::vector<NoiseStep> steps = model->levels(sampler_named("ddim"), 10);
    torch::Tensor source = normal_noise({.seed = 1}, {3, 4, 6, 8});
    Injection injection = plug_and_play(*model, source, steps, {.text = "a painting"});

    // One step of an edit. `before` of the steps are done.
    torch::Tensor denoised(const torch::Tensor& x, size_t before,
                           const std::optional<Injection>& given, double guidance = 4,
                           const std::optional<FrameLinks>& links = {}) const {
        Conditioning conditioning{.text = model->encode_text({"watercolor painting"}),
                                  .negative = model->encode_negative({""}),
                                  .guidance = guidance};
        conditioning.injection = given;
        conditioning.links = links;
        return model->denoise(conditioning)(x, steps[before].from);
    }
};

}  // namespace

TEST_CASE("the source's path holds what the inversion found", "[inject]") {
    const Fixture fixture;
    const Denoise denoise = fixture.model->denoise(
        {.text = fixture.model->encode_text({"a painting"}), .negative = {}});
    const auto path = invert_ddim(denoise, fixture.source, fixture.steps,
                                  fixture.model->schedule().config().prediction);
    for (size_t i = 0; i < path.size(); ++i) {
        const NoiseLevel level = fixture.steps[path.size() - 1 - i].from;
        CHECK(difference(fixture.injection.source.at(level), path[i]) < 1e-5);
    }
    // At the end stands the source itself, and frames can be taken apart.
    CHECK(difference(fixture.injection.source.at({.alpha = 1, .sigma = 0, .t = 0}),
                     fixture.source) == 0);
    const torch::Tensor index = torch::tensor({2, 0});
    const NoiseLevel level = fixture.steps[3].from;
    CHECK(fixture.injection.source.rows(index).at(level).equal(
        fixture.injection.source.at(level).index_select(0, index)));
}

TEST_CASE("between two levels of an inversion the noise is interpolated", "[inject]") {
    const torch::Tensor clean = torch::full({1, 1, 1, 1}, 2.0);
    const std::vector<NoiseStep> steps = {{{.alpha = 0.6, .sigma = 0.8, .t = 600}, {}},
                                          {{.alpha = 0.8, .sigma = 0.6, .t = 200}, {}}};
    // Noise of 1 at t = 200 and of 3 at t = 600.
    const SourcePath path(clean, steps, {clean * 0.8 + 0.6 * 1, clean * 0.6 + 0.8 * 3});
    CHECK(path.at({.alpha = 0.7, .sigma = 0.7, .t = 300}).item<float>() ==
          Approx(0.7 * 2 + 0.7 * 1.5));
    CHECK(path.at({.alpha = 0.9, .sigma = 0.4, .t = 100}).item<float>() == Approx(0.9 * 2 + 0.4));
    CHECK(path.at({.alpha = 0, .sigma = 1, .t = 900}).item<float>() == Approx(3));
}

TEST_CASE("an inversion does not depend on how frames are cut into calls", "[inject]") {
    const Fixture fixture;
    const Injection one_by_one = plug_and_play(*fixture.model, fixture.source, fixture.steps,
                                               {.text = "a painting", .rows_per_call = 1});
    const NoiseLevel level = fixture.steps.front().from;
    CHECK(difference(one_by_one.source.at(level), fixture.injection.source.at(level)) < 1e-4);
}

TEST_CASE("an edit that is the source takes nothing new from it", "[inject]") {
    const Fixture fixture;
    Injection same = fixture.injection;
    same.text = fixture.model->encode_text({"watercolor painting"});
    const torch::Tensor x = same.source.at(fixture.steps[2].from);
    CHECK(difference(fixture.denoised(x, 2, same, 1), fixture.denoised(x, 2, {}, 1)) < 1e-5);
    CHECK(difference(fixture.denoised(x, 2, fixture.injection, 1), fixture.denoised(x, 2, {}, 1)) >
          1e-4);
}

TEST_CASE("features and maps are taken in their shares of the steps", "[inject]") {
    const Fixture fixture;
    const torch::Tensor x = normal_noise({.seed = 9}, {3, 4, 6, 8});
    const auto moved = [&](size_t step, double features, double maps) {
        Injection given = fixture.injection;
        given.features = features;
        given.maps = maps;
        return difference(fixture.denoised(x, step, given), fixture.denoised(x, step, {}));
    };
    // Of ten steps, 0.8 are steps 0 to 7 and 0.5 are steps 0 to 4.
    CHECK(moved(7, 0.8, 0.5) > 1e-4);
    CHECK(moved(8, 0.8, 0.5) < 1e-5);
    CHECK(moved(4, 0, 0.5) > 1e-4);
    CHECK(moved(5, 0, 0.5) < 1e-5);
    CHECK(moved(0, 0, 0) < 1e-5);
    CHECK(moved(9, 1, 0) > 1e-4);
}

TEST_CASE("a frame takes from its own source, in every branch", "[inject]") {
    const Fixture fixture;
    const torch::Tensor x = normal_noise({.seed = 9}, {3, 4, 6, 8});
    Injection other = fixture.injection;
    other.source = other.source.rows(torch::tensor({2, 1, 2}));
    const double guidance = GENERATE(0.0, 1.0, 4.0);
    const torch::Tensor before = fixture.denoised(x, 1, fixture.injection, guidance);
    const torch::Tensor after = fixture.denoised(x, 1, other, guidance);
    CHECK(difference(before[0], after[0]) > 1e-4);
    CHECK(difference(before.slice(0, 1), after.slice(0, 1)) < 1e-5);
}

TEST_CASE("injection and links of frames work together", "[inject][links]") {
    const Fixture fixture;
    const auto way = GENERATE(FrameLinks::Way::attention, FrameLinks::Way::tokens);
    FrameLinks links{
        .way = way, .references = 1, .sees = torch::tensor({-1, 0, 0}).reshape({3, 1})};
    const torch::Tensor x = normal_noise({.seed = 9}, {3, 4, 6, 8});
    const torch::Tensor linked = fixture.denoised(x, 1, fixture.injection, 4, links);
    const torch::Tensor alone = fixture.denoised(x, 1, fixture.injection);
    CHECK(difference(linked[0], alone[0]) < 1e-5);
    CHECK(difference(linked[1], alone[1]) > 1e-4);
    links.rows_per_call = 1;
    CHECK(difference(fixture.denoised(x, 1, fixture.injection, 4, links), linked) < 1e-5);

    // Frames that are alike in source and noise come out alike.
    Injection still = fixture.injection;
    still.source = still.source.rows(torch::tensor({0, 0, 0}));
    const torch::Tensor same = x.narrow(0, 0, 1).repeat({3, 1, 1, 1});
    const torch::Tensor out = fixture.denoised(same, 1, still, 4, links);
    CHECK(difference(out[1], out[0]) < 1e-5);
    CHECK(difference(out[2], out[0]) < 1e-5);
}

TEST_CASE("the sites of Stable Diffusion are those of the paper", "[inject]") {
    const UnetConfig sd = expanded({}, "test");
    CHECK(injected_features(sd) == "up_blocks.1.resnets.1");
    const SiteChoice maps(injected_maps(sd));
    const auto has = [&](const std::string& attention) {
        return maps.has(attention + ".transformer_blocks.0.attn1");
    };
    for (const std::string block : {"1", "2", "3"})
        for (const std::string layer : {"0", "1", "2"})
            CHECK(has("up_blocks." + block + ".attentions." + layer) ==
                  !(block == "1" && layer == "0"));
    CHECK_FALSE(has("down_blocks.1.attentions.1"));
    CHECK_FALSE(has("mid_block.attentions.0"));

    // SDXL attends from its first up block on.
    UnetConfig sdxl;
    sdxl.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"};
    sdxl.up_block_types = {"CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"};
    CHECK(injected_features(sdxl) == "up_blocks.0.resnets.1");
    CHECK(injected_maps(sdxl) ==
          "none+up_blocks.0.attentions.1+up_blocks.0.attentions.2+up_blocks.1.attentions");
    sdxl.up_block_types = {"UpBlock2D"};
    CHECK(injected_features(sdxl) == "none");
}

TEST_CASE("a model that is fed its source has no use for plug-and-play", "[inject]") {
    const auto model = load_tiny(TinyFamily::source_conditioned);
    const auto steps = model->levels(sampler_named("ddim"), 4);
    CHECK_THROWS_AS(plug_and_play(*model, torch::zeros({1, 4, 6, 8}), steps), UsageError);
}

}  // namespace weft
