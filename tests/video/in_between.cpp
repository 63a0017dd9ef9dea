#include "video/in_between.h"

#include <catch2/catch.hpp>

#include "temporal/noise.h"
#include "tests/fixtures/tiny_model.h"
#include "video/key_editor.h"
#include "video/resample.h"

using namespace weft;

namespace {

std::shared_ptr<const DiffusionModel> model(TinyFamily family) {
    const TemporaryFolder folder;
    write_tiny_model(folder.path(), family);
    return DiffusionModel::load(folder.path(), {"cpu", "f32"});
}

constexpr Size size{64, 48};

Editor editor(const Plan& plan, const std::shared_ptr<const DiffusionModel>& model) {
    StreamInfo info;
    info.width = size.width;
    info.height = size.height;
    info.frames = 100;
    return {model, resolve(plan, info, model->traits(), {.rereadable = true})};
}

Plan plan_of(const std::string& mode, const Curve<double>& strength) {
    Plan plan;
    plan.prompt = Curve<std::string>::constant("watercolor painting");
    plan.mode = mode;
    plan.strength = strength;
    return plan;
}

Editor editor(const std::string& mode, const Curve<double>& strength) {
    static const auto loaded = model(TinyFamily::source_conditioned);
    return editor(plan_of(mode, strength), loaded);
}

/// Of a model that is told a prompt alone, with the source's layout injected.
Editor injecting(const std::string& mode) {
    static const auto loaded = model(TinyFamily::plain);
    Plan plan = plan_of(mode, Curve<double>::constant(0.8));
    plan.plug_and_play = 0.8;
    return editor(plan, loaded);
}

/// A soft picture with some detail that moves to the right by `shift_px`, [1, 3, h, w].
torch::Tensor picture(int64_t shift_px) {
    const auto coarse = normal_noise({.seed = 9}, {1, 3, 7, 9}) * 0.2 + 0.5;
    return at::upsample_bilinear2d(coarse, {size.height, size.width}, false)
        .clamp(0, 1)
        .roll(shift_px, 3);
}

FrameBatch frame(int64_t index, int64_t shift_px) {
    return {picture(shift_px), {index}, {static_cast<double>(index) / 25}};
}

torch::Tensor edit_key(const Editor& edit, const FrameBatch& anchor, const FrameBatch& key) {
    return KeyEditor(edit, anchor)(key, {});
}

/// Frames 8 to 12 of a shot that begins at 0 and moves by `speed_px` a frame.
KeyInterval interval(const Editor& edit, int64_t speed_px) {
    const auto at = [&](int64_t index) { return frame(index, index * speed_px); };
    const auto key = [&](int64_t index) {
        return KeyFrame{index, at(index), edit_key(edit, at(0), at(index))};
    };
    auto backward = identity_flow(1, size.height, size.width);
    backward.offset.select(1, 0).fill_(static_cast<double>(-speed_px));
    auto forward = identity_flow(1, size.height, size.width);
    forward.offset.select(1, 0).fill_(static_cast<double>(speed_px));
    return {.anchor = at(0),
            .before = key(8),
            .after = key(12),
            .frames = FrameBatch::joined({at(9), at(10), at(11)}),
            .motion = std::vector<FlowPair>(4, FlowPair{backward, forward})};
}

double change(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().mean().item<double>();
}

}  // namespace

TEST_CASE("frames that stand still come out still, in every mode") {
    for (const InBetween& mode : in_between_modes()) {
        if (!mode.keys) {
            continue;  // tests/video/editor.cpp
        }
        INFO(mode.name);
        const auto edit = editor(mode.name, Curve<double>::constant(0.8));
        const auto still = interval(edit, 0);
        const auto made = mode.make(edit, still, {});
        REQUIRE(made.sizes() == still.frames.pictures.sizes());
        CHECK(change(still.before.edit, still.after.edit) < 1e-5);
        CHECK(change(made[0], made[2]) < 1e-4);
        // `full` also sees its key frames, so it is as steady, not the same.
        const double limit = std::string(mode.name) == "full" ? 0.05 : 1e-3;
        CHECK(change(made.slice(0, 0, 1), still.before.edit) < limit);
    }
}

TEST_CASE("every mode takes a source that runs along") {
    for (const InBetween& mode : in_between_modes()) {
        if (!mode.keys) {
            continue;
        }
        INFO(mode.name);
        const auto edit = injecting(mode.name);
        const auto made = mode.make(edit, interval(edit, 1), {});
        CHECK(made.isfinite().all().item<bool>());
        CHECK(change(made, interval(edit, 1).frames.pictures) > 1e-3);
    }
}

TEST_CASE("a remembered first frame serves keys whose source runs along") {
    const auto edit = injecting("propagate");
    const auto anchor = frame(0, 0);
    const auto key = frame(8, 8);
    const auto rows = FrameBatch::joined({anchor, key});
    const auto links = shot_links(FrameLinks::Way::attention, rows.index, {});
    const auto again = edit.edit_linked(rows, links, 1, {});
    CHECK((edit_key(edit, anchor, key) - again).abs().max().item<double>() < 1e-4);
}

TEST_CASE("fused shapes are the nearer key frame's, moved along") {
    for (const std::string mode : {"full", "tokens"}) {
        INFO(mode);
        // Two latents a frame: frames 9 and 10 belong to key 8, frame 11 to key 12.
        constexpr int64_t speed = 16;
        Plan plan = plan_of(mode, Curve<double>::constant(1));
        const auto far = [&](double share) {
            plan.shape_fusion = share;
            const auto edit = editor(plan, model(TinyFamily::source_conditioned));
            const auto moving = interval(edit, speed);
            const auto made = find_in_between(mode)->make(edit, moving, {});
            const auto kept = [&](int64_t i, const KeyFrame& key, int64_t shift) {
                // Away from the border, which the picture moves in from.
                const auto inner = [](const torch::Tensor& x) { return x.slice(-1, 24, 40); };
                return change(inner(made[i]), inner(key.edit[0].roll(shift, 2)));
            };
            return std::max(kept(0, moving.before, speed), kept(2, moving.after, -speed));
        };
        CHECK(far(1) < 0.5 * far(0));
    }
}

TEST_CASE("held pixels are those that the key frames' edits show, moved along") {
    constexpr int64_t speed = 4;
    const auto loaded = model(TinyFamily::source_conditioned);
    const auto carried = editor(plan_of("propagate", Curve<double>::constant(1)), loaded);
    for (const std::string mode : {"full", "tokens"}) {
        INFO(mode);
        Plan plan = plan_of(mode, Curve<double>::constant(1));
        plan.steps = 10;
        const auto far = [&](double weight) {
            plan.pixel_fusion = weight;
            const auto edit = editor(plan, loaded);
            const auto moving = interval(edit, speed);
            const auto wanted = find_in_between("propagate")->make(carried, moving, {});
            const auto made = find_in_between(mode)->make(edit, moving, {});
            return change(made, wanted);
        };
        const double loose = far(0);
        CHECK(far(0.5) < 0.7 * loose);
        CHECK(far(1) < 0.7 * loose);
    }
}

TEST_CASE("pixels are held by samplers of plain steps alone") {
    Plan plan = plan_of("full", Curve<double>::constant(1));
    plan.pixel_fusion = 0.5;
    const auto loaded = model(TinyFamily::source_conditioned);
    for (const std::string sampler : {"dpmpp_2m", "euler_a", "heun"}) {
        plan.sampler = sampler;
        CHECK_THROWS_WITH(editor(plan, loaded), Catch::Contains("pixel_fusion") &&
                                                    Catch::Contains(sampler) &&
                                                    Catch::Contains("take ddim"));
    }
    plan.sampler = "ddim";
    plan.eta = 1;
    CHECK_THROWS_WITH(editor(plan, loaded), Catch::Contains("pixel_fusion"));
    plan.eta = 0;
    CHECK_NOTHROW(editor(plan, loaded));
}

TEST_CASE("a key frame takes its shot's colours, as far as it is told") {
    const auto anchor = frame(0, 0);
    auto key = frame(8, 0);
    key.pictures = key.pictures * 0.5;
    Plan plan = plan_of("propagate", Curve<double>::constant(1));
    plan.steps = 8;
    const auto loaded = model(TinyFamily::source_conditioned);
    const auto edited = [&](double style) {
        plan.anchor_style = style;
        return edit_key(editor(plan, loaded), anchor, key);
    };
    const auto colors = [](const torch::Tensor& x) { return x.mean({2, 3}); };
    const auto wanted = colors(editor(plan, loaded).edit(anchor));
    CHECK(change(colors(edited(1)), wanted) < 0.5 * change(colors(edited(0)), wanted));
    CHECK(change(colors(edited(0.5)), wanted) < change(colors(edited(0)), wanted));
}

TEST_CASE("every mode edits, and the same interval gives the same frames") {
    for (const InBetween& mode : in_between_modes()) {
        if (!mode.keys) {
            continue;
        }
        INFO(mode.name);
        const auto edit = editor(mode.name, Curve<double>::constant(0.8));
        const auto moving = interval(edit, 1);
        const auto made = mode.make(edit, moving, {});
        CHECK(change(made, moving.frames.pictures) > 0.01);
        CHECK(torch::equal(made, mode.make(edit, moving, {})));
    }
}

TEST_CASE("frames that are denoised take their own strength") {
    const auto edit = editor("full", {{{0, 1.0}, {10.0 / 25, 0.0}}});
    const auto made = find_in_between("full")->make(edit, interval(edit, 1), {});
    CHECK(change(made[0], picture(9)[0]) > 1e-3);
    CHECK(torch::equal(made[1], picture(10)[0]));
    CHECK(torch::equal(made[2], picture(11)[0]));
}

TEST_CASE("a key frame sees its shot's first frame, which is edited alone") {
    const auto edit = editor("propagate", Curve<double>::constant(1));
    const auto key = frame(8, 0);
    const auto one = edit_key(edit, frame(0, 0), key);
    const auto other = edit_key(edit, frame(0, 20), key);
    CHECK(change(one, other) > 1e-4);
    CHECK((edit_key(edit, key, key) - edit.edit(key)).abs().max().item<double>() < 1e-4);
}

TEST_CASE("a remembered first frame is as good as one that is denoised again") {
    const auto edit = editor("propagate", {{{0, 1.0}, {1, 0.5}}});
    const auto anchor = frame(0, 0);
    KeyEditor edit_keys(edit, anchor);
    // Of other strengths too: the anchor follows each key's.
    for (const int64_t index : {4, 8, 8, 0, 20}) {
        INFO("frame " << index);
        const auto key = frame(index, index);
        const auto made = edit_keys(key, {});
        CHECK(torch::equal(made, edit_key(edit, anchor, key)));
        if (index > 0) {
            const auto rows = FrameBatch::joined({anchor, key});
            const auto links = shot_links(FrameLinks::Way::attention, rows.index, {});
            const auto again = edit.edit_linked(rows, links, 1, {});
            CHECK((made - again).abs().max().item<double>() < 1e-4);
        }
    }
}

TEST_CASE("enlarging an edit gives the detail back that strength leaves") {
    Plan plan;
    plan.prompt = Curve<std::string>::constant("x");
    plan.strength = {{{0, 0.0}, {1, 0.5}}};
    plan.size = "32x24";
    plan.detail = 0;
    const Editor edit = editor(plan, model(TinyFamily::source_conditioned));
    for (const double time_s : {0.0, 1.0}) {
        const FrameBatch batch{picture(0), {0}, {time_s}};
        const auto small = edit.shrunk(batch).pictures;
        CHECK(small.sizes() == torch::IntArrayRef({1, 3, 24, 32}));
        // An edit that changes nothing.
        const auto finished = edit.finish(batch, small, small);
        CHECK(change(finished, batch.pictures) <=
              (time_s == 0.0 ? 0 : 0.55 * change(resized(small, size), batch.pictures)));
    }
}
