#include <ATen/Parallel.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "diffusion/train/edits.h"
#include "diffusion/train/pairs.h"
#include "diffusion/train/pixels.h"
#include "diffusion/train/scenes.h"
#include "diffusion/train/words.h"

using namespace weft;

namespace {

/// Many small operations: one thread is quicker than waiting for two.
class OneThread {
  public:
    OneThread() { at::set_num_threads(1); }

    ~OneThread() { at::set_num_threads(before_); }

    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

  private:
    int before_ = at::get_num_threads();
};

/// Four scenes with a sky, all in one batch: [4, 3, 96, 128].
torch::Tensor fixed_scenes() {
    std::vector<Scene> scenes;
    for (uint64_t seed = 1; scenes.size() < 4; ++seed) {
        auto scene = random_scene(seed, 128.0 / 96.0);
        if (has_sky(scene.place) && scene.sky == Sky::blue) {
            scene.lens = {};
            scenes.push_back(scene);
        }
    }
    return draw_scenes(scenes, 96, 128, torch::kCPU);
}

double average(const torch::Tensor& x) {
    return x.mean().item<double>();
}

/// Mean distance between the largest and the smallest channel.
double colourfulness(const torch::Tensor& x) {
    return average(x.amax(1) - x.amin(1));
}

/// Mean of red minus blue.
double warmth(const torch::Tensor& x) {
    return average(x.select(1, 0) - x.select(1, 2));
}

/// Mean absolute difference of neighbours.
double roughness(const torch::Tensor& x) {
    return average((x - moved(x, 0, 1)).abs());
}

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().max().item<double>();
}

}  // namespace

TEST_CASE_METHOD(OneThread, "pairs are a pure function of their arguments") {
    const auto once = make_pairs({5, 100, 6}, 64, 80, torch::kCPU);
    const auto again = make_pairs({5, 100, 6}, 64, 80, torch::kCPU);
    CHECK(torch::equal(once.source, again.source));
    CHECK(torch::equal(once.target, again.target));
    CHECK(once.text == again.text);
    const auto other = make_pairs({6, 100, 6}, 64, 80, torch::kCPU);
    CHECK(largest_difference(once.target, other.target) > 0.1);
}

TEST_CASE_METHOD(OneThread, "pairs do not depend on how they are split into batches") {
    const auto whole = make_pairs({3, 0, 24}, 64, 64, torch::kCPU);
    for (int64_t start = 0; start < 24; start += 8) {
        const auto part = make_pairs({3, start, 8}, 64, 64, torch::kCPU);
        CHECK(largest_difference(whole.source.narrow(0, start, 8), part.source) <= 1e-5);
        CHECK(largest_difference(whole.target.narrow(0, start, 8), part.target) <= 1e-5);
        CHECK(torch::equal(whole.has_source.narrow(0, start, 8), part.has_source));
        CHECK(std::equal(part.text.begin(), part.text.end(), whole.text.begin() + start));
    }
}

TEST_CASE_METHOD(OneThread, "pairs have the shapes and ranges of the header") {
    for (const auto& [height, width] :
         {std::pair<int64_t, int64_t>{64, 64}, {40, 72}, {33, 50}, {16, 16}}) {
        const auto batch = make_pairs({9, 7, 10}, height, width, torch::kCPU);
        const std::vector<int64_t> shape = {10, 3, height, width};
        CHECK(batch.source.sizes().vec() == shape);
        CHECK(batch.target.sizes().vec() == shape);
        CHECK(batch.has_source.scalar_type() == torch::kBool);
        for (const auto& picture :
             {batch.source, batch.target, make_scenes({9, 7, 10}, height, width, torch::kCPU)}) {
            CHECK(picture.isfinite().all().item<bool>());
            CHECK(picture.min().item<double>() >= 0);
            CHECK(picture.max().item<double>() <= 1);
        }
    }
}

TEST_CASE_METHOD(OneThread,
                 "kinds of pairs come in the given shares, and empty text changes nothing") {
    const auto batch = make_pairs({11, 0, 240}, 16, 16, torch::kCPU);
    const auto absent = (~batch.has_source).sum().item<int64_t>();
    CHECK(absent > 36);
    CHECK(absent < 84);
    int64_t identities = 0;
    for (int64_t i = 0; i < 240; ++i) {
        const auto has_source = batch.has_source[i].item<bool>();
        if (!has_source) {
            CHECK(batch.source[i].abs().max().item<double>() == 0);
        } else if (batch.text[i].empty()) {
            ++identities;
            CHECK(torch::equal(batch.source[i], batch.target[i]));
        }
    }
    CHECK(identities > 8);
    CHECK(identities < 48);
}

TEST_CASE_METHOD(OneThread, "every style is used, bounded and unlike the others") {
    Dice dice(1);
    std::set<std::string> used;
    for (int k = 0; k < 2000; ++k) {
        used.insert(random_style(dice).name);
    }
    CHECK(used.size() == styles().size());
    const auto scenes = fixed_scenes();
    std::map<std::string, torch::Tensor> results;
    for (const auto& entry : styles()) {
        INFO(entry.name);
        const auto result = entry.apply(scenes);
        CHECK(result.sizes() == scenes.sizes());
        CHECK(result.min().item<double>() >= -1e-6);
        CHECK(result.max().item<double>() <= 1 + 1e-6);
        CHECK(largest_difference(result.narrow(0, 1, 1), entry.apply(scenes.narrow(0, 1, 1))) <=
              1e-5);
        CHECK(average((result - scenes).abs()) > 0.03);
        for (const auto& [name, earlier] : results) {
            INFO(name);
            CHECK(average((result - earlier).abs()) > 0.04);
        }
        results[entry.name] = result;
        CHECK(&style(entry.name) == &entry);
        for (const auto& alias : entry.aliases) {
            CHECK(&style(alias) == &entry);
        }
    }
}

TEST_CASE_METHOD(OneThread, "styles show what their names promise") {
    const auto scenes = fixed_scenes();
    const auto styled = [&](const char* name) { return style(name).apply(scenes); };
    REQUIRE(colourfulness(scenes) > 0.1);
    CHECK(colourfulness(styled("pencil sketch")) < 0.04);
    CHECK(average(styled("pencil sketch")) > 0.7);
    CHECK(colourfulness(styled("black and white")) < 1e-6);
    CHECK(average(styled("night")) < 0.6 * average(scenes));
    CHECK(warmth(styled("night")) < -0.05);
    CHECK(average(styled("neon")) < 0.35);
    CHECK(styled("neon").amax({1, 2, 3}).min().item<double>() > 0.9);
    CHECK(average(styled("winter snow")) > average(scenes));
    CHECK(colourfulness(styled("winter snow")) < colourfulness(scenes));
    CHECK(warmth(styled("sunset")) > warmth(scenes) + 0.2);
    CHECK(colourfulness(styled("oil painting")) > colourfulness(scenes));
    CHECK(average(styled("watercolor painting")) > average(scenes));
    CHECK(average(styled("charcoal drawing")) < average(styled("pencil sketch")) - 0.15);
    CHECK(warmth(styled("blueprint")) < -0.25);
}

TEST_CASE_METHOD(OneThread, "oil paint smooths grain away") {
    const auto noisy =
        (fixed_scenes() + (hashed({1, 2, 3, 4}, 3, 96, 128, torch::kCPU) - 0.5) * 0.15).clamp(0, 1);
    CHECK(roughness(style("oil painting").apply(noisy)) < 0.8 * roughness(noisy));
}

TEST_CASE_METHOD(OneThread, "scene edits change the picture and say what") {
    std::set<std::string> first_words;
    for (uint64_t seed = 0; seed < 40; ++seed) {
        const auto edit = random_edit(seed, 1.0);
        const auto pictures = draw_scenes({edit.before, edit.after}, 48, 48, torch::kCPU);
        INFO(edit.text);
        CHECK(largest_difference(pictures[0], pictures[1]) > 0.01);
        first_words.insert(edit.text.substr(0, edit.text.find(' ')));
    }
    CHECK(first_words.size() >= 5);
}

TEST_CASE_METHOD(OneThread, "a simple scene shows one large thing in its colour") {
    size_t right = 0;
    for (uint64_t seed = 0; seed < 20; ++seed) {
        auto scene = simple_scene(seed, 1.0);
        scene.things[0].kind = Kind::ball;
        CHECK(caption(scene).find(thing_words(scene.things[0])) == 0);
        scene.place = Place::plain;
        scene.things[0].light = 1;
        const auto& thing = scene.things[0];
        const auto picture = draw_scenes({scene}, 64, 64, torch::kCPU);
        const auto seen =
            picture[0].index({torch::indexing::Slice(), static_cast<int64_t>(thing.y * 64),
                              static_cast<int64_t>(thing.x * 64)});
        const auto meant =
            torch::tensor({thing.rgb[0], thing.rgb[1], thing.rgb[2]}, torch::kFloat32);
        right += (seen - meant).abs().max().item<double>() < 0.25 ? 1 : 0;
    }
    CHECK(right == 20);
}

TEST_CASE_METHOD(OneThread, "sample captions hold every word that the pairs use") {
    std::set<std::string> known;
    const auto add_words = [](const std::string& text, std::set<std::string>& words) {
        std::istringstream stream(text);
        for (std::string word; stream >> word;) {
            words.insert(word);
        }
    };
    for (const auto& text : sample_captions(1, 0)) {
        add_words(text, known);
    }
    std::set<std::string> used;
    for (const auto& text : sample_captions(2, 4000)) {
        CHECK(std::all_of(text.begin(), text.end(),
                          [](unsigned char c) { return c < 128 && !std::isupper(c); }));
        add_words(text, used);
    }
    for (auto word : used) {
        word.erase(std::remove(word.begin(), word.end(), ','), word.end());
        INFO(word);
        CHECK((known.count(word) + known.count(word + ",")) > 0);
    }
}
