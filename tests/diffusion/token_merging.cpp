#include "diffusion/token_merging.h"

#include <catch2/catch.hpp>

#include "diffusion/attention.h"
#include "diffusion/model.h"
#include "io/files/error.h"
#include "tests/fixtures/tiny_model.h"

namespace weft {
namespace {

double difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().max().item<double>();
}

// N(0,1) numbers that tell calls apart.
torch::Tensor drawn(int64_t call, torch::IntArrayRef shape) {
    torch::manual_seed(static_cast<uint64_t>(70 + call));
    return torch::randn(shape);
}

TokenMerge merge_of(double ratio) {
    return {.ratio = ratio, .noise = drawn};
}

// One attention over a map, with and without merged tokens.
struct Site {
    Weights weights = Weights::create(3);
    Attention attention{weights, {.width = 8, .context = 8, .heads = 2}};
    torch::NoGradGuard inference;

    double change(const torch::Tensor& map, double ratio) const {  // [n, h, w, 8]
        const torch::Tensor states = map.flatten(1, 2);
        const MergePlaces places = draw_places(merge_of(ratio), 0, {map.size(1), map.size(2)});
        TokenMerging merging(ratio, places, nullptr);
        return difference(merging.attend(attention, states), attention(states, states));
    }
};

std::shared_ptr<const DiffusionModel> tiny() {
    const TemporaryFolder folder;
    write_tiny_model(folder.path(), TinyFamily::plain);
    return DiffusionModel::load(folder.path(), {.device = "cpu", .dtype = "f32"});
}

torch::Tensor run(const DiffusionModel& model, const torch::Tensor& x, const TokenMerge& merge,
                  const std::optional<FrameLinks>& links = {}) {
    Conditioning conditioning;
    conditioning.text = model.encode_text({"watercolor painting"});
    conditioning.negative = model.encode_negative({""});
    conditioning.guidance = 2;
    conditioning.links = links;
    conditioning.merge = merge;
    const Sampler& ddim = sampler_named("ddim");
    return sample(ddim, model.denoise(conditioning), x, model.levels(ddim, 4),
                  sampler_options(ddim, model.schedule()));
}

}  // namespace

TEST_CASE("one token of each 2x2 block stays, by chance", "[merging]") {
    const MergePlaces places = draw_places(merge_of(0.5), 0, {7, 20});
    REQUIRE(places.kept.size(0) == 30);
    CHECK(places.loose.size(0) == 110);
    const torch::Tensor y = places.kept.div(20, "floor"), x = places.kept.remainder(20);
    const torch::Tensor block = y.div(2, "floor") * 10 + x.div(2, "floor");
    CHECK(std::get<0>(block.sort()).equal(torch::arange(30)));
    // All four corners are drawn, and others at the next call.
    CHECK((2 * y.remainder(2) + x.remainder(2)).bincount().gt(0).sum().item<int>() == 4);
    CHECK_FALSE(places.kept.equal(draw_places(merge_of(0.5), 1, {7, 20}).kept));
    CHECK(places.kept.equal(draw_places(merge_of(0.5), 0, {7, 20}).kept));
}

TEST_CASE("what was merged and spread merges to the same again", "[merging]") {
    torch::manual_seed(5);
    const torch::Tensor states = torch::randn({2, 30, 8}), tokens = torch::randn({2, 30, 3});
    const MergePlaces places = draw_places(merge_of(0.5), 0, {5, 6});
    for (const int64_t count : {0, 1, 15, 24}) {
        const MergedTokens merge(states, places, count);
        const torch::Tensor merged = merge.merged(tokens), spread = merge.unmerged(merged);
        CHECK(merged.size(1) == 30 - count);
        CHECK(difference(merge.merged(spread), merged) < 1e-6);
        // Means keep the sum.
        CHECK(difference(spread.sum(1), tokens.sum(1)) < 1e-4);
        CHECK((difference(spread, tokens) > 0.1) == (count > 0));
    }
}

TEST_CASE("alike tokens lose nothing", "[merging]") {
    const Site site;
    torch::manual_seed(6);
    const torch::Tensor constant = torch::randn({2, 1, 1, 8}).expand({2, 6, 8, 8});
    const torch::Tensor blocks =
        torch::randn({2, 3, 4, 8}).repeat_interleave(2, 1).repeat_interleave(2, 2);
    const torch::Tensor any = torch::randn({2, 6, 8, 8});
    for (const double ratio : {0.1, 0.5, 0.75}) {
        CHECK(site.change(constant, ratio) < 1e-6);
        CHECK(site.change(any, ratio) > 1e-3);
    }
    // Each token then stands for four.
    CHECK(site.change(blocks, 0.75) < 1e-6);
    CHECK(site.change(any, 0) == 0);
}

TEST_CASE("the finest level that attends is merged", "[merging]") {
    const auto size = [](std::vector<std::string> types, MapSize latent) {
        UnetConfig config;
        config.down_block_types = std::move(types);
        const MapSize found = finest_attention(config, latent);
        return std::pair(found.height, found.width);
    };
    const std::string plain = "DownBlock2D", crossed = "CrossAttnDownBlock2D";
    CHECK(size({crossed, crossed, plain}, {64, 48}) == std::pair<int64_t, int64_t>(64, 48));
    CHECK(size({plain, crossed, crossed}, {65, 48}) == std::pair<int64_t, int64_t>(33, 24));
    CHECK(size({plain, plain}, {8, 9}) == std::pair<int64_t, int64_t>(4, 5));
}

TEST_CASE("a run with merged tokens", "[merging]") {
    const auto model = tiny();
    torch::manual_seed(7);
    const torch::Tensor x = torch::randn({2, 4, 8, 8});
    const torch::Tensor exact = run(*model, x, {});
    CHECK(run(*model, x, merge_of(0)).equal(exact));
    const torch::Tensor merged = run(*model, x, merge_of(0.5));
    CHECK(difference(merged, exact) > 1e-4);
    CHECK(run(*model, x, merge_of(0.5)).equal(merged));
    // A frame's tokens are merged among themselves, with the same choice in every batch.
    CHECK(difference(run(*model, x[1].unsqueeze(0), merge_of(0.5))[0], merged[1]) < 1e-5);
    // Without a draw the choice is the same at every call.
    CHECK_FALSE(run(*model, x, {.ratio = 0.5}).equal(merged));
    CHECK_THROWS_AS(run(*model, x, merge_of(0.8)), UsageError);
    CHECK_THROWS_AS(run(*model, x, merge_of(-0.1)), UsageError);
}

TEST_CASE("merged tokens are what linked frames see", "[merging]") {
    const auto model = tiny();
    torch::manual_seed(8);
    const torch::Tensor frame = torch::randn({1, 4, 8, 8});
    const std::vector<int64_t> references{0, 4}, others{1, 2, 3};
    const auto way = GENERATE(FrameLinks::Way::attention, FrameLinks::Way::tokens);
    const FrameLinks links = shot_links(way, references, others);
    // Frames that are alike stay alike, and see nothing that a single frame does not.
    const torch::Tensor all = run(*model, frame.expand({5, 4, 8, 8}), merge_of(0.5), links);
    CHECK(difference(all, run(*model, frame, merge_of(0.5)).expand_as(all)) < 1e-4);
    // Other frames change what they see.
    const torch::Tensor mixed = torch::cat({frame, torch::randn({4, 4, 8, 8})});
    CHECK(difference(run(*model, mixed, merge_of(0.5), links), run(*model, mixed, merge_of(0.5))) >
          1e-4);
}

}  // namespace weft
