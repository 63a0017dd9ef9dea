#include "video/measure.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <iterator>

#include "diffusion/clip_vision.h"
#include "io/files/error.h"
#include "io/files/safetensors.h"
#include "io/media/picture.h"
#include "tests/fixtures/tiny_model.h"
#include "tests/video/drawn_clip.h"
#include "video/clip_track.h"
#include "video/gallery.h"
#include "video/mask.h"
#include "video/measure_page.h"
#include "video/svg_plot.h"

using namespace weft;
using weft::tests::DrawnClip;
using weft::tests::landscape;
using weft::tests::pan;

namespace {

constexpr int64_t frames = 24;

torch::Tensor source_frame(int64_t frame) {
    static const auto land = landscape(3);
    return pan(land, frame);
}

NamedSource clip(const std::string& name, const DrawnClip::Draw& draw, int64_t count = frames) {
    return {name, std::make_unique<DrawnClip>(count, draw)};
}

torch::Tensor grain(uint64_t seed, int64_t frame) {
    return 0.05 * normal_noise({.seed = seed, .frame = frame}, {3, 96, 128});
}

Measurement measured(const DrawnClip::Draw& edit, const MeasureOptions& options = {}) {
    std::vector<NamedSource> edits;
    edits.push_back(clip("edit", edit));
    return measure(clip("source", source_frame), std::move(edits), options);
}

/// The small CLIP of tests/parity as transformers would save it, with a tokenizer of two letters.
void write_clip(const std::filesystem::path& folder) {
    const SafeTensors reference(std::filesystem::path(WEFT_SOURCE_DIR) /
                                "tests/parity/references/clip_vision.safetensors");
    NamedTensors tensors;
    for (const auto& [name, entry] : reference.entries()) {
        if (name.starts_with("model.")) {
            tensors.emplace_back(name.substr(6), reference.tensor(name));
        }
    }
    save_safetensors(folder / "model.safetensors", tensors);
    std::ofstream(folder / "config.json") << reference.metadata().at("config");
    std::ofstream(folder / "vocab.json")
        << R"({"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab</w>": 4, "<|startoftext|>": 38, "<|endoftext|>": 39})";
    std::ofstream(folder / "merges.txt") << "#version: 0.2\na b</w>\n";
    std::ofstream(folder / "tokenizer_config.json") << R"({"model_max_length": 12})";
}

}  // namespace

TEST_CASE("an edit that sticks to the scene is as steady as the source") {
    // Darker and redder: the same motion.
    const auto found = measured([](int64_t frame) {
        return source_frame(frame) * torch::tensor({0.9, 0.6, 0.6}).view({3, 1, 1});
    });
    REQUIRE(found.clips.size() == 2);
    CHECK(found.cuts.empty());
    const auto& identity = found.clips[0].summary;
    const auto& edit = found.clips[1].summary;
    CHECK(identity.strength == 0);
    CHECK(*identity.warp_ratio == 1);
    CHECK(identity.valid_share > 0.7);
    CHECK(std::sqrt(identity.warp_error) * 255 < 1.5);
    CHECK(*edit.warp_ratio < 1);
    CHECK(*edit.drift_ratio < 1);
    CHECK(edit.end_point_error < 0.1);
    CHECK(edit.strength == Approx(0.15).margin(0.03));
}

TEST_CASE("grain that changes is unsteady, a texture that stands still drifts") {
    const auto flickering =
        measured([](int64_t frame) { return source_frame(frame) + grain(1, frame); });
    // Two independent grains of variance 0.0025; the clamp to [0, 1] takes little of it.
    CHECK(flickering.clips[1].summary.warp_error ==
          Approx(0.005 + flickering.clips[0].summary.warp_error).epsilon(0.25));
    CHECK(*flickering.clips[1].summary.warp_ratio > 20);

    const auto standing = measured([](int64_t frame) { return source_frame(frame) + grain(1, 0); });
    CHECK(*standing.clips[1].summary.warp_ratio > 20);
    CHECK(standing.clips[1].summary.flicker < flickering.clips[1].summary.flicker);
    CHECK(*standing.clips[1].summary.drift_ratio > 1.5);
}

TEST_CASE("a slow change of colour is drift and a blinking one flicker") {
    const auto drifting = measured(
        [](int64_t frame) { return source_frame(frame) + 0.01 * static_cast<double>(frame); });
    const auto& slow = drifting.clips[1].summary;
    // 16 frames apart: 0.16 brighter.
    CHECK(slow.drift_error == Approx(0.0256).epsilon(0.15));
    CHECK(slow.luma_flicker < 0.002);
    const auto blinking =
        measured([](int64_t frame) { return source_frame(frame) + 0.02 * (frame % 2 == 0); });
    CHECK(blinking.clips[1].summary.luma_flicker == Approx(0.08 / 2).epsilon(0.1));
}

TEST_CASE("motion that differs is found") {
    const auto still = measured([](int64_t /*frame*/) { return source_frame(0); });
    CHECK(still.clips[1].summary.end_point_error == Approx(2).margin(0.25));
}

TEST_CASE("only what changes outside the mask counts there") {
    const TemporaryFolder folder;
    auto left = torch::zeros({3, 48, 64});
    left.slice(2, 0, 32).fill_(1);
    write_picture(folder / "mask.png", left);
    const auto outside = [&](const DrawnClip::Draw& edit) {
        std::vector<NamedSource> edits;
        edits.push_back(clip("edit", edit));
        auto source = clip("source", source_frame);
        source.frames = masked(std::move(source.frames), {.path = folder / "mask.png"});
        return *measure(std::move(source), std::move(edits), {}).clips[1].summary.outside;
    };
    const auto inside = [](int64_t frame) {
        auto picture = source_frame(frame);
        picture.slice(2, 0, 60).add_(0.2);
        return picture;
    };
    CHECK(outside(inside) == Approx(0).margin(1e-6));
    const auto everywhere = [](int64_t frame) { return source_frame(frame) * 0.5 + 0.1; };
    CHECK(outside(everywhere) > 0.05);
    CHECK_FALSE(measured(inside).clips[1].summary.outside.has_value());
}

TEST_CASE("pairs across a cut do not count") {
    const auto two_shots = [](int64_t frame) {
        static const auto other = landscape(4);
        return frame < 12 ? source_frame(frame) : pan(other, frame);
    };
    std::vector<NamedSource> edits;
    edits.push_back(clip("copy", two_shots));
    const auto found = measure(clip("source", two_shots), std::move(edits));
    CHECK(found.cuts == std::vector<int64_t>{12});
    CHECK(std::sqrt(found.clips[1].summary.worst_error) * 255 < 2);
    CHECK(found.clips[1].summary.drift_error == 0);  // the only comparison spans the cut
    CHECK(*found.clips[1].summary.warp_ratio == 1);
}

TEST_CASE("integrity tells what is not as it was") {
    std::vector<NamedSource> edits;
    edits.push_back(clip("short", source_frame, frames - 3));
    edits.push_back(clip(
        "long", [](int64_t frame) { return source_frame(frame % frames); }, frames + 2));
    auto tagged = std::make_unique<DrawnClip>(
        frames, [](int64_t frame) { return source_frame(frame).slice(2, 0, 64); });
    tagged->change().color.matrix = 9;
    SideStream sound;
    sound.index = 1;
    sound.kind = "audio";
    tagged->change().others.push_back(sound);
    edits.push_back({"other", std::move(tagged)});
    const auto found = measure(clip("source", source_frame), std::move(edits));
    CHECK(found.clips[1].integrity.frames == frames - 3);
    CHECK_FALSE(found.clips[1].integrity.same_frames);
    CHECK(found.clips[1].integrity.same_size);
    CHECK(found.clips[2].integrity.frames == frames + 2);
    CHECK(found.clips[3].integrity.same_frames);
    CHECK_FALSE(found.clips[3].integrity.same_size);
    CHECK_FALSE(found.clips[3].integrity.same_color);
    CHECK_FALSE(found.clips[3].integrity.same_side_streams);
    CHECK_THROWS_AS(measure(clip("empty", source_frame, 0), {}), Error);
}

TEST_CASE("the page stands alone and shows the worst frame first") {
    Gallery gallery;
    MeasureOptions options;
    options.on_pair = [&](const MeasuredPair& pair) { gallery.see(pair); };
    const auto found = measured(
        [](int64_t frame) {
            return source_frame(frame) + (frame == 9 ? 4.0 : 1.0) * grain(2, frame);
        },
        options);
    const auto worst = gallery.worst(1);
    REQUIRE(worst.size() == Gallery::worst_count);
    CHECK((worst[0].figures.frame == 9 || worst[0].figures.frame == 10));
    CHECK(worst[0].excess >= worst[1].excess);
    const auto spread = gallery.spread(1);
    CHECK(spread.size() >= 4);
    CHECK(spread.size() <= 7);

    const TemporaryFolder folder;
    write_measure_page(folder / "page.html", found, gallery);
    std::ifstream stream(folder / "page.html");
    const std::string page{std::istreambuf_iterator<char>(stream), {}};
    CHECK(page.find("://") == std::string::npos);
    CHECK(page.find("data:image/jpeg;base64,/9j/") != std::string::npos);
    CHECK(page.find("<svg") != std::string::npos);
    CHECK(page.find("edit: worst frames first") != std::string::npos);
}

TEST_CASE("CLIP scores are those of all frames and pairs") {
    const TemporaryFolder folder;
    write_clip(folder.path());
    const ClipScorer scorer(folder.path());
    const auto text = scorer.text("a b");
    CHECK(text.norm().item<double>() == Approx(1));
    ClipTrack track(scorer, text);
    std::vector<torch::Tensor> embeds;
    std::vector<torch::Tensor> pooled;
    for (int64_t i = 0; i < 5; ++i) {
        const auto picture = source_frame(4 * i).unsqueeze(0);
        track.add(picture);
        embeds.push_back(scorer.pictures(picture).embeds);
        pooled.push_back(scorer.pictures(picture).pooled);
    }
    const auto all = torch::cat(embeds);  // [5, 10]
    const auto pairs = all.matmul(all.t());
    const auto states = torch::cat(pooled);
    const auto found = track.scores();
    CHECK(found.text == Approx(all.matmul(text.t()).mean().item<double>()));
    CHECK(found.all_pairs == Approx((pairs.sum().item<double>() - 5) / 20));
    CHECK(found.neighbours == Approx(pairs.diagonal(1).mean().item<double>()));
    CHECK(found.pooled ==
          Approx(states.matmul(states.t()).diagonal(1).clamp_min(0).mean().item<double>()));
    CHECK(found.all_pairs < 0.9999);  // the frames do differ

    MeasureOptions options;
    options.clip = &scorer;
    options.prompt = "a b";
    const auto both = measured(source_frame, options);
    REQUIRE(both.clips[1].summary.clip.has_value());
    CHECK(both.clips[1].summary.clip->text == both.clips[0].summary.clip->text);
}

TEST_CASE("flow colours show direction and length") {
    auto offset = torch::zeros({1, 2, 1, 3});
    offset[0][0][0][1] = 4.0;   // right
    offset[0][0][0][2] = -4.0;  // left
    const auto colors = flow_colors(offset, 4);
    CHECK(torch::allclose(colors.select(2, 0), torch::ones({3, 1})));
    CHECK(torch::allclose(colors.select(2, 1), torch::tensor({0.F, 1.F, 1.F}).view({3, 1})));
    CHECK(torch::allclose(colors.select(2, 2), torch::tensor({1.F, 0.F, 0.F}).view({3, 1})));
}

TEST_CASE("plots escape names and leave gaps") {
    const auto svg = svg_of({"a < b", "s", "px", {{"x & y", {0, 1, 2}, {1, NAN, 2}}}, {1}});
    CHECK(svg.find("a &lt; b") != std::string::npos);
    CHECK(svg.find("x &amp; y") != std::string::npos);
    CHECK(svg.find("class=\"mark\"") != std::string::npos);
    CHECK(svg.find('L') == std::string::npos);  // both points stand alone
    CHECK(svg.find("nan") == std::string::npos);
}
