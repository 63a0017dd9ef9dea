#include "video/editor.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "io/files/error.h"
#include "io/files/safetensors.h"
#include "temporal/noise.h"
#include "tests/fixtures/tiny_model.h"

using namespace weft;

namespace {

/// A tiny model of each family, loaded once.
const std::shared_ptr<const DiffusionModel>& model(TinyFamily family) {
    static const auto load = [](TinyFamily kind) {
        const TemporaryFolder folder;
        write_tiny_model(folder.path(), kind);
        return DiffusionModel::load(folder.path(), {"cpu", "f32"});
    };
    static const auto conditioned = load(TinyFamily::source_conditioned);
    static const auto plain = load(TinyFamily::plain);
    static const auto inpainting = load(TinyFamily::inpainting);
    if (family == TinyFamily::inpainting) {
        return inpainting;
    }
    return family == TinyFamily::plain ? plain : conditioned;
}

/// Soft pictures with some detail, [n, 3, h, w].
torch::Tensor pictures(int64_t count, Size size) {
    const auto coarse = normal_noise({.seed = 9}, {count, 3, 5, 7}) * 0.2 + 0.5;
    const auto fine = normal_noise({.seed = 10}, {count, 3, size.height, size.width}) * 0.05;
    const auto soft = at::upsample_bilinear2d(coarse, {size.height, size.width}, false);
    return (soft + fine).clamp(0, 1);
}

FrameBatch batch(const torch::Tensor& frames) {
    FrameBatch result{frames, {}, {}, {}};
    for (int64_t i = 0; i < frames.size(0); ++i) {
        result.index.push_back(i);
        result.time_s.push_back(static_cast<double>(i) / 25);
    }
    return result;
}

Editor editor(const Plan& plan, Size size, TinyFamily family = TinyFamily::source_conditioned) {
    StreamInfo info;
    info.width = size.width;
    info.height = size.height;
    return {model(family), resolve(plan, info, model(family)->traits())};
}

Plan with_strength(double strength) {
    Plan plan;
    plan.prompt = Curve<std::string>::constant("watercolor painting");
    plan.strength = Curve<double>::constant(strength);
    return plan;
}

double change(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().mean().item<double>();
}

}  // namespace

TEST_CASE("strength 0 gives the very pixels back") {
    const auto frames = pictures(2, {50, 38});
    for (const auto family : {TinyFamily::source_conditioned, TinyFamily::plain}) {
        CHECK(
            torch::equal(editor(with_strength(0), {50, 38}, family).render(batch(frames)), frames));
    }
}

TEST_CASE("the change starts at nothing and grows with the strength") {
    const auto frames = pictures(1, {64, 48});
    for (const auto family : {TinyFamily::source_conditioned, TinyFamily::plain}) {
        double last = 0;
        for (const double strength : {0.001, 0.1, 0.25, 0.4, 0.6, 0.8, 1.0}) {
            const auto edited =
                editor(with_strength(strength), {64, 48}, family).render(batch(frames));
            const double now = change(edited, frames);
            INFO("strength " << strength << ": " << last << " -> " << now);
            CHECK(now > last);
            last = now;
            if (strength == 0.001) {
                CHECK(now < 0.01);
            }
        }
    }
}

TEST_CASE("a small move of the strength is a small change of the result") {
    const auto frames = pictures(1, {64, 48});
    const auto at = [&](double strength) {
        return editor(with_strength(strength), {64, 48}).render(batch(frames));
    };
    // 4 steps: 0.25, 0.5 and 0.75 are where the number of steps changes.
    for (const double strength : {0.12, 0.25, 0.5, 0.75}) {
        INFO(strength);
        CHECK(change(at(strength - 0.004), at(strength + 0.004)) < 0.02);
    }
}

TEST_CASE("merged tokens are the same ones in every frame") {
    const auto frames = pictures(1, {64, 48}).repeat({2, 1, 1, 1});
    Plan plan = with_strength(0.75);
    const auto exact = editor(plan, {64, 48}).render(batch(frames));
    plan.merge_tokens = 0;
    CHECK(torch::equal(editor(plan, {64, 48}).render(batch(frames)), exact));
    plan.merge_tokens = 0.5;
    const auto merged = editor(plan, {64, 48}).render(batch(frames));
    CHECK(change(merged, exact) > 1e-6);
    CHECK((merged[0] - merged[1]).abs().max().item<double>() < 1e-5);
    auto later = batch(frames);
    later.index = {50, 51};
    CHECK((editor(plan, {64, 48}).render(later) - merged).abs().max().item<double>() < 1e-5);
}

TEST_CASE("plug-and-play starts at the source and keeps its layout") {
    const auto frames = pictures(2, {64, 48});
    Plan plan = with_strength(1);
    plan.sampler = "ddim";
    plan.steps = 8;
    plan.guidance = 1;
    plan.source_prompt = "watercolor painting";
    const auto edited = [&](double share) {
        plan.plug_and_play = share;
        return editor(plan, {64, 48}, TinyFamily::plain).render(batch(frames));
    };
    const auto painted_anew = change(edited(0), frames);
    // Told the same, the edit walks the way back that the inversion came.
    CHECK(change(edited(1), frames) < 0.5 * painted_anew);
    plan.source_prompt = "a street";
    const auto injected = edited(1);
    CHECK(change(injected, frames) > 1e-3);
    CHECK(change(injected, frames) < painted_anew);
    CHECK(change(injected, edited(0.1)) > 1e-4);
    CHECK(torch::equal(edited(1), injected));
}

TEST_CASE("plug-and-play tells its stage, and ends where that throws") {
    Plan plan = with_strength(0.5);
    plan.steps = 4;
    plan.plug_and_play = 0.8;
    int64_t calls = 0;
    const RenderWatch watch{.on_pause = [&](const std::string& stage) {
        CHECK(stage == "invert");
        if (++calls == 2) {
            throw Interrupted("here");
        }
    }};
    const auto edit = editor(plan, {64, 48}, TinyFamily::plain);
    CHECK_THROWS_AS(edit.render(batch(pictures(1, {64, 48})), watch), Interrupted);
}

TEST_CASE("plug-and-play is refused where it cannot be") {
    Plan plan = with_strength(1);
    plan.plug_and_play = 0.5;
    CHECK_THROWS_WITH(editor(plan, {64, 48}), Catch::Contains("plug_and_play"));
    plan.cache_every = 2;
    CHECK_THROWS_WITH(editor(plan, {64, 48}, TinyFamily::plain), Catch::Contains("cache_every"));
}

TEST_CASE("pictures of any size come back at their size") {
    for (const Size size : {Size{64, 64}, Size{65, 33}, Size{17, 90}, Size{200, 101}}) {
        const auto edited = editor(with_strength(1), size).render(batch(pictures(1, size)));
        CHECK(edited.sizes() == torch::IntArrayRef({1, 3, size.height, size.width}));
        CHECK(edited.min().item<float>() >= 0);
        CHECK(edited.max().item<float>() <= 1);
    }
}

TEST_CASE("a frame's result does not depend on its neighbours in the batch") {
    const auto frames = pictures(3, {64, 48});
    for (const char* noise : {"fixed", "independent", "mixed"}) {
        auto plan = with_strength(0.7);
        plan.noise = noise;
        const auto edit = editor(plan, {64, 48});
        const auto together = edit.render(batch(frames));
        const auto alone = edit.render({frames.slice(0, 2, 3), {2}, {2.0 / 25}});
        INFO(noise);
        CHECK(change(together.slice(0, 2, 3), alone) < 1e-5);
        CHECK(torch::equal(edit.render(batch(frames)), together));
    }
}

TEST_CASE("fixed noise keeps a static shot still, independent noise does not") {
    const auto frames = pictures(1, {64, 48}).repeat({3, 1, 1, 1});
    const auto flicker = [&](const char* noise) {
        auto plan = with_strength(0.8);
        plan.noise = noise;
        const auto edited = editor(plan, {64, 48}).render(batch(frames));
        return change(edited.slice(0, 1), edited.slice(0, 0, -1));
    };
    CHECK(flicker("fixed") < 1e-6);
    CHECK(flicker("mixed") > 0.001);
    CHECK(flicker("independent") > flicker("mixed"));
}

TEST_CASE("seed, prompt and guidance change the result") {
    const auto frames = pictures(1, {64, 48});
    const auto base = editor(with_strength(0.9), {64, 48}).render(batch(frames));
    const auto differs = [&](auto change_plan) {
        auto plan = with_strength(0.9);
        change_plan(plan);
        return change(editor(plan, {64, 48}).render(batch(frames)), base) > 1e-4;
    };
    CHECK(differs([](Plan& plan) { plan.seed = 5; }));
    CHECK(differs([](Plan& plan) { plan.prompt = Curve<std::string>::constant("pencil sketch"); }));
    CHECK(differs([](Plan& plan) { plan.guidance = 5; }));
    CHECK(differs([](Plan& plan) { plan.sampler = "dpmpp_2m"; }));
    CHECK(differs([](Plan& plan) { plan.steps = 7; }));
}

TEST_CASE("curves are read at each frame's own time") {
    const auto frames = pictures(3, {64, 48});
    Plan plan;
    plan.prompt = {{{0, "watercolor painting"}, {2.0 / 25, "pencil sketch"}}};
    plan.strength = {{{0, 0.0}, {1.0 / 25, 0.8}}};
    const auto edited = editor(plan, {64, 48}).render(batch(frames));
    CHECK(torch::equal(edited[0], frames[0]));
    auto later = with_strength(0.8);
    later.prompt = Curve<std::string>::constant("pencil sketch");
    const auto expected = editor(later, {64, 48}).render(batch(frames));
    CHECK(change(edited[2], expected[2]) < 1e-5);
    CHECK(change(edited[1], expected[1]) > 1e-4);
}

TEST_CASE("a LoRA fades in over the clip") {
    const TemporaryFolder folder;
    write_tiny_model(folder.path());
    const auto file = folder / "a.safetensors";
    const std::string unet = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_v";
    const std::string text = "lora_te_text_model_encoder_layers_0_mlp_fc2";
    NamedTensors tensors;
    for (const auto& [layer, in] : {std::pair(unet, 16), std::pair(text, 32)}) {
        tensors.emplace_back(layer + ".lora_down.weight", torch::ones({1, in}) / 4);
        tensors.emplace_back(layer + ".lora_up.weight", torch::linspace(-2, 2, 16).view({16, 1}));
    }
    save_safetensors(file, tensors);
    const auto frames = pictures(3, {64, 48});
    const auto edited = [&](const std::vector<std::string>& loras) {
        Plan plan = with_strength(1);
        plan.lora = loras;
        StreamInfo info;
        info.width = 64;
        info.height = 48;
        const auto own = DiffusionModel::load(folder.path(), {"cpu", "f32"}, model_options(plan));
        const Editor editor(own, resolve(plan, info, own->traits()));
        return editor.render(batch(frames));
    };
    const auto plain = edited({}), whole = edited({file.string()});
    const auto fading = edited({file.string() + ":0@0..1@0.08"});
    CHECK(change(fading[0], plain[0]) < 1e-5);
    CHECK(change(fading[2], whole[2]) < 1e-5);
    CHECK(change(fading[1], edited({file.string() + ":0.5"})[1]) < 1e-5);
    CHECK(change(plain, whole) > 1e-3);

    Plan merged;
    merged.lora = {file.string() + ":0@0..1@1"};
    merged.lora_mode = "merged";
    StreamInfo info;
    info.width = info.height = 64;
    CHECK_THROWS_WITH(resolve(merged, info, model(TinyFamily::plain)->traits()),
                      Catch::Contains("lora_mode"));
}

TEST_CASE("a picture from text has the asked size and depends on the seed") {
    for (const auto family : {TinyFamily::source_conditioned, TinyFamily::plain}) {
        Plan plan = with_strength(1);
        plan.size = "80x56";
        StreamInfo info;
        info.width = 80;
        info.height = 56;
        const auto draw = [&] {
            const auto job = resolve(plan, info, model(family)->traits());
            return generate(*model(family), job, std::vector<int64_t>{0});
        };
        const auto first = draw();
        CHECK(first.sizes() == torch::IntArrayRef({1, 3, 56, 80}));
        plan.seed = 1;
        CHECK(change(first, draw()) > 1e-3);
    }
}

namespace {

/// White in the right half but for a grey column, [n, 1, h, w].
torch::Tensor right_half(int64_t count, Size size) {
    auto mask = torch::zeros({count, 1, size.height, size.width});
    mask.slice(3, size.width / 2).fill_(1);
    mask.select(3, size.width / 2).fill_(0.25);
    return mask;
}

}  // namespace

TEST_CASE("a mask keeps the very pixels outside, for every family") {
    const Size size{80, 60};
    const auto frames = pictures(2, size);
    auto masked = batch(frames);
    masked.masks = right_half(2, size);
    for (const auto family :
         {TinyFamily::source_conditioned, TinyFamily::plain, TinyFamily::inpainting}) {
        const auto edited = editor(with_strength(1), size, family).render(masked);
        CHECK(torch::equal(edited.slice(3, 0, 40), frames.slice(3, 0, 40)));
        const double inside = change(edited.slice(3, 41), frames.slice(3, 41));
        CHECK(inside > 0.02);
        // A quarter of an edit is a quarter of the change.
        CHECK(change(edited.select(3, 40), frames.select(3, 40)) < 0.5 * inside);
    }
}

TEST_CASE("a white mask is no mask, a black one keeps the source") {
    const Size size{64, 48};
    const auto frames = pictures(1, size);
    auto masked = batch(frames);
    const auto edit = editor(with_strength(0.7), size);
    masked.masks = torch::ones({1, 1, 48, 64});
    CHECK(torch::equal(edit.render(masked), edit.render(batch(frames))));
    masked.masks = torch::zeros({1, 1, 48, 64});
    CHECK(torch::equal(edit.render(masked), frames));
}

TEST_CASE("what is painted under a mask depends on what the mask leaves") {
    // The network's view at 4 steps covers a tiny picture; only the left halves differ, and no
    // detail of theirs is brought back.
    const Size size{64, 48};
    auto frames = pictures(1, size).repeat({2, 1, 1, 1});
    frames[1].slice(2, 0, 32) = 1 - frames[1].slice(2, 0, 32);
    auto masked = batch(frames);
    masked.masks = right_half(2, size);
    masked.index = {0, 0};  // the same noise
    for (const auto family : {TinyFamily::plain, TinyFamily::inpainting}) {
        Plan plan = with_strength(1);
        plan.detail = 0;
        const auto edited = editor(plan, size, family).render(masked);
        CHECK(change(edited[0].slice(2, 40), edited[1].slice(2, 40)) > 1e-3);
    }
}

TEST_CASE("an inpainting model does not see what it paints over") {
    const Size size{64, 48};
    auto frames = pictures(1, size).repeat({2, 1, 1, 1});
    frames[1].slice(2, 32) = 1 - frames[1].slice(2, 32);
    auto masked = batch(frames);
    masked.masks = torch::zeros({2, 1, 48, 64});
    masked.masks.slice(3, 32).fill_(1);
    masked.index = {0, 0};
    Plan plan = with_strength(1);
    plan.detail = 0;
    const auto edited = editor(plan, size, TinyFamily::inpainting).render(masked);
    // At full strength nothing of the source is in the start but the schedule's last trace.
    CHECK(change(edited[0].slice(2, 32), edited[1].slice(2, 32)) < 1e-4);
}
