#include "diffusion/frame_links.h"

#include <catch2/catch.hpp>

#include "diffusion/attention.h"
#include "diffusion/linked_network.h"
#include "diffusion/model.h"
#include "diffusion/token_match.h"
#include "io/files/error.h"
#include "temporal/noise.h"
#include "tests/fixtures/tiny_model.h"

namespace weft {
namespace {

using Way = FrameLinks::Way;

double difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().max().item<double>();
}

// Tiny models of both kinds, loaded once.
const DiffusionModel& tiny(TinyFamily family) {
    const auto loaded = [](TinyFamily kind) {
        const TemporaryFolder folder;
        write_tiny_model(folder / "tiny", kind);
        return DiffusionModel::load(folder / "tiny", {.device = "cpu", .dtype = "f32"});
    };
    static const auto conditioned = loaded(TinyFamily::source_conditioned);
    static const auto plain = loaded(TinyFamily::plain);
    return family == TinyFamily::plain ? *plain : *conditioned;
}

// A batch of n different frames: latents, sources, their own noise level.
struct Frames {
    TinyFamily family = TinyFamily::source_conditioned;
    torch::Tensor x, source;

    explicit Frames(int64_t n, TinyFamily kind = TinyFamily::source_conditioned)
        : family(kind),
          x(normal_noise({.seed = 5}, {n, 4, 6, 8})),
          source(normal_noise({.seed = 6}, {n, 4, 6, 8})) {}

    torch::Tensor denoised(const std::optional<FrameLinks>& links, double guidance = 3) const {
        const DiffusionModel& model = tiny(family);
        Conditioning given{.text = model.encode_text({"watercolor painting"}),
                           .negative = model.encode_negative({""}),
                           .guidance = guidance,
                           .image_guidance = 1.5};
        if (family == TinyFamily::source_conditioned)
            given.source = source;
        given.links = links;
        return model.denoise(given)(x, model.schedule().level(600));
    }

    void replace(int64_t row, const Frames& other, int64_t by) {
        x[row] = other.x[by];
        source[row] = other.source[by];
    }
};

torch::Tensor rows(const std::vector<std::vector<int64_t>>& sees) {
    std::vector<int64_t> flat;
    for (const auto& row : sees) flat.insert(flat.end(), row.begin(), row.end());
    return torch::tensor(flat).reshape({static_cast<int64_t>(sees.size()), -1});
}

// An anchor, two keys that see it, frames between that see the keys.
FrameLinks shot(Way way) {
    return {
        .way = way,
        .references = 3,
        .sees = rows({{-1, -1}, {0, -1}, {-1, 0}, {1, 2}, {1, 2}, {2, -1}}),
        .distance = torch::tensor({1., 1., 1., 1., 1., 1., 1., 3., 3., 1., 2., 1.}).view({6, 2})};
}

}  // namespace

TEST_CASE("linked frames see their references and nothing else", "[links]") {
    const Way way = GENERATE(Way::attention, Way::tokens);
    const TinyFamily family = GENERATE(TinyFamily::source_conditioned, TinyFamily::plain);
    const FrameLinks links = shot(way);
    const Frames frames(6, family);
    Frames others(1, family);
    others.x += 1;
    others.source -= 1;
    const torch::Tensor before = frames.denoised(links);
    for (int64_t changed = 0; changed < 6; ++changed) {
        Frames altered(6, family);
        altered.replace(changed, others, 0);
        const torch::Tensor after = altered.denoised(links);
        for (int64_t row = 0; row < 6; ++row) {
            // The anchor reaches the rows that see a key by way of it.
            const bool sees_key = row == 3 || row == 4;
            const bool sees = row == changed || (changed == 0 && row > 0) ||
                              (changed == 1 && sees_key) ||
                              (changed == 2 && (sees_key || row == 5));
            INFO("row " << row << " where row " << changed << " changed");
            const double moved = difference(before[row], after[row]);
            CHECK((sees ? moved > 1e-4 : moved < 1e-5));
        }
    }
}

TEST_CASE("a row that sees nobody runs as if alone", "[links]") {
    const Way way = GENERATE(Way::attention, Way::tokens);
    const Frames frames(4);
    const FrameLinks links{.way = way, .references = 2, .sees = rows({{-1}, {-1}, {-1}, {1}})};
    const torch::Tensor alone = frames.denoised({});
    const torch::Tensor linked = frames.denoised(links);
    CHECK(difference(alone.slice(0, 0, 3), linked.slice(0, 0, 3)) < 1e-5);
    CHECK(difference(alone[3], linked[3]) > 1e-4);
    CHECK(difference(frames.denoised(unlinked(4)), alone) < 1e-5);
}

TEST_CASE("identical frames stay identical, and as they are alone", "[links]") {
    const Way way = GENERATE(Way::attention, Way::tokens);
    Frames frames(6);
    for (int64_t i = 1; i < 6; ++i) frames.replace(i, frames, 0);
    const torch::Tensor out = frames.denoised(shot(way));
    for (int64_t i = 1; i < 6; ++i) CHECK(difference(out[i], out[0]) < 1e-5);
    // Attending to copies of oneself changes nothing.
    CHECK(difference(out[0], frames.denoised({})[0]) < 1e-5);
}

TEST_CASE("how rows are cut into calls changes nothing", "[links]") {
    const Way way = GENERATE(Way::attention, Way::tokens);
    const Frames frames(6);
    FrameLinks links = shot(way);
    const torch::Tensor whole = frames.denoised(links);
    links.rows_per_call = GENERATE(1, 2, 5);
    CHECK(difference(frames.denoised(links), whole) < 1e-5);
    CHECK(frames.denoised(links).equal(frames.denoised(links)));
}

TEST_CASE("tokens of a reference like the row reproduce it", "[links]") {
    Frames frames(2);
    frames.replace(1, frames, 0);
    const FrameLinks links{.way = Way::tokens, .references = 1, .sees = rows({{-1}, {0}})};
    const torch::Tensor out = frames.denoised(links);
    CHECK(difference(out[1], out[0]) < 1e-6);
    CHECK(difference(out[0], frames.denoised({})[0]) < 1e-5);
}

TEST_CASE("the nearer reference counts more, and all where it is reached", "[links]") {
    const Frames frames(3);
    const auto at = [&](double first, double second, FrameLinks::Blend blend) {
        return frames.denoised(
            FrameLinks{.way = Way::tokens,
                       .references = 2,
                       .sees = rows({{-1, -1}, {-1, -1}, {0, 1}}),
                       .distance = torch::tensor({1., 1., 1., 1., first, second}).view({3, 2}),
                       .blend = blend})[2];
    };
    const auto with_one = [&](int64_t reference) {
        return frames.denoised(FrameLinks{
            .way = Way::tokens, .references = 2, .sees = rows({{-1}, {-1}, {reference}})})[2];
    };
    using Blend = FrameLinks::Blend;
    CHECK(difference(at(1e-6, 1, Blend::distance), with_one(0)) < 1e-4);
    CHECK(difference(at(1, 1e-6, Blend::distance), with_one(1)) < 1e-4);
    CHECK(difference(at(1, 3, Blend::distance), with_one(0)) <
          difference(at(3, 1, Blend::distance), with_one(0)));
    // As published, half of the first is left where the second is reached.
    CHECK(difference(at(1, 1e-6, Blend::published), with_one(1)) > 1e-3);
    CHECK(difference(at(1, 1e-6, Blend::published), at(1, 1, Blend::distance)) < 1e-4);
}

TEST_CASE("only the sites that are named are linked", "[links]") {
    const Frames frames(2);
    FrameLinks links{.references = 1, .sees = rows({{-1}, {0}})};
    const auto with = [&](const std::string& sites) {
        links.sites = sites;
        return frames.denoised(links)[1];
    };
    const torch::Tensor alone = frames.denoised({})[1];
    CHECK(difference(with("none"), alone) < 1e-5);
    CHECK(difference(with("up_blocks.1"), alone) < 1e-5);  // it has no attention
    CHECK(difference(with("up"), alone) > 1e-4);
    CHECK(difference(with("up"), with("all")) > 1e-4);
    CHECK(difference(with("down+mid+up"), with("all")) == 0);
    CHECK(difference(with("up_blocks.0"), with("up")) == 0);
    CHECK(difference(with(""), with("all")) == 0);
    CHECK_THROWS_AS(with("sideways"), UsageError);
    CHECK_THROWS_AS(with("up+"), UsageError);
}

TEST_CASE("sites are told apart by whole parts of their names", "[links]") {
    const SiteChoice choice("up_blocks.1+mid");
    CHECK(choice.has("up_blocks.1.attentions.0.transformer_blocks.0.attn1"));
    CHECK(choice.has("unet.up_blocks.1.resnets.0"));
    CHECK(choice.has("mid_block.resnets.0"));
    CHECK_FALSE(choice.has("up_blocks.10.resnets.0"));
    CHECK_FALSE(choice.has("down_blocks.1.resnets.0"));
    CHECK_FALSE(SiteChoice("none").has("up_blocks.1"));
}

TEST_CASE("links that do not fit are refused", "[links]") {
    const auto refused = [](const FrameLinks& links, const std::string& words) {
        CHECK_THROWS_WITH(check(links, 3), Catch::Contains(words));
    };
    refused({.references = 4, .sees = rows({{-1}, {0}, {0}})}, "4 references among 3");
    refused({.references = 1, .sees = rows({{-1}, {0}})}, "sees must be");
    refused({.references = 1, .sees = rows({{-1}, {0}, {1}})}, "row 2 sees row 1");
    refused({.references = 1, .sees = rows({{0}, {0}, {0}})}, "itself");
    refused({.references = 2, .sees = rows({{-1, -1}, {0, 0}, {0, 1}})}, "twice");
    refused({.way = Way::tokens, .references = 2, .sees = rows({{-1, -1}, {0, -1}, {0, 1}})},
            "unknown distance");
}

TEST_CASE("in a shot keys see the anchor and frames the keys around them", "[links]") {
    const std::vector<int64_t> references = {0, 8, 16}, others = {9, 15, 20, 4};
    const FrameLinks attention = shot_links(Way::attention, references, others);
    check(attention, 7);
    CHECK(attention.references == 3);
    CHECK(attention.sees.equal(rows(
        {{-1, -1, -1}, {0, -1, -1}, {0, -1, -1}, {1, 2, 0}, {1, 2, 0}, {2, 0, -1}, {0, 1, -1}})));
    const FrameLinks tokens = shot_links(Way::tokens, references, others);
    check(tokens, 7);
    CHECK(tokens.sees.equal(rows({{-1, -1}, {0, -1}, {0, -1}, {1, 2}, {1, 2}, {2, -1}, {0, 1}})));
    CHECK(tokens.distance.slice(0, 3).equal(
        torch::tensor({1., 7., 7., 1., 4., 1., 4., 4.}).to(torch::kFloat32).view({4, 2})));
    CHECK_THROWS_WITH(shot_links(Way::tokens, references, std::vector<int64_t>{8}),
                      Catch::Contains("frame 8"));
}

TEST_CASE("a key comes to the same in every stretch it belongs to", "[links]") {
    const Way way = GENERATE(Way::attention, Way::tokens);
    const Frames all(6);  // frames 0, 8, 16, 4, 12, 20
    const auto denoised = [&](const std::vector<int64_t>& batch, int64_t references) {
        Frames some(1);
        some.x = all.x.index_select(0, torch::tensor(batch));
        some.source = all.source.index_select(0, torch::tensor(batch));
        const std::vector<int64_t> numbers = {0, 8, 16, 4, 12, 20};
        std::vector<int64_t> keys, others;
        for (const int64_t row : batch)
            (std::ssize(keys) < references ? keys : others).push_back(numbers[row]);
        return some.denoised(shot_links(way, keys, others));
    };
    const torch::Tensor first = denoised({0, 1, 3}, 2);      // anchor, key 8, frame 4
    const torch::Tensor second = denoised({0, 1, 2, 4}, 3);  // anchor, keys 8 and 16, frame 12
    CHECK(difference(first[0], second[0]) < 1e-5);
    CHECK(difference(first[1], second[1]) < 1e-5);
    CHECK(difference(second[2], denoised({0, 2, 5}, 2)[1]) < 1e-5);
    CHECK(difference(first[1], denoised({1, 0}, 1)[0]) > 1e-4);  // it does see the anchor
}

TEST_CASE("linked frames run with samplers of several calls a step", "[links]") {
    const auto* name = GENERATE("ddim", "heun", "dpmpp_2m");
    const Way way = GENERATE(Way::attention, Way::tokens);
    const DiffusionModel& model = tiny(TinyFamily::plain);
    const Sampler& sampler = sampler_named(name);
    const auto steps = model.levels(sampler, 4);
    FrameLinks links = shot_links(way, std::vector<int64_t>{0, 4}, std::vector<int64_t>{1, 2, 6});
    const auto run = [&](const torch::Tensor& noise) {
        Conditioning given{.text = model.encode_text({"pencil sketch"}), .negative = {}};
        given.links = links;
        const torch::InferenceMode inference;
        return sample(sampler, model.denoise(given), noise, steps,
                      sampler_options(sampler, model.schedule()));
    };
    const torch::Tensor noise = normal_noise({.seed = 12}, {5, 4, 6, 8});
    const torch::Tensor whole = run(noise);
    CHECK(run(noise).equal(whole));
    // Rounding grows with what the steps amplify.
    const double rounding = 1e-5 * whole.abs().max().item<double>();
    links.rows_per_call = 1;
    CHECK(difference(run(noise), whole) < rounding);
    const torch::Tensor still = run(noise.narrow(0, 0, 1).repeat({5, 1, 1, 1}));
    for (int64_t i = 1; i < 5; ++i) CHECK(difference(still[i], still[0]) < rounding);
}

TEST_CASE("the bank holds one state of each reference, however many frames follow", "[links]") {
    // Two sites of 12 tokens, width 3 and 5, which any number of frames pass through.
    const Weights weights = Weights::create(1);
    const Attention small(weights.scope("up_blocks.0"), {.width = 3, .context = 3});
    const Attention large(weights.scope("up_blocks.1"), {.width = 5, .context = 5});
    const torch::NoGradGuard inference;
    const auto bytes = [&](Way way, int64_t frames) {
        FrameLinks links{.way = way, .references = 2};
        links.sees = torch::zeros({2 + frames, 1}, torch::kInt64);
        links.sees[0][0] = -1;
        LinkedRows linked(links, {.branches = 3}, {});
        const auto call = [&](int64_t first, int64_t count) {
            linked.enter(first, count);
            linked.attend(small, normal_noise({.seed = 1}, {3 * count, 12, 3}));
            linked.attend(large, normal_noise({.seed = 2}, {3 * count, 12, 5}));
        };
        call(0, 2);
        for (int64_t i = 0; i < frames; ++i) call(2 + i, 1);
        return linked.bank_bytes();
    };
    const int64_t states = 2 * 12 * (3 + 5) * 4;          // of the references in one branch
    CHECK(bytes(Way::attention, 1) == 3 * 2 * states);    // keys and values, three branches
    CHECK(bytes(Way::tokens, 1) == 3 * states + states);  // answers, and tokens of one branch
    CHECK(bytes(Way::attention, 9) == bytes(Way::attention, 1));
    CHECK(bytes(Way::tokens, 9) == bytes(Way::tokens, 1));
    CHECK(bytes(Way::attention, 0) == 0);  // nobody follows, nothing is kept
}

TEST_CASE("nearest tokens are those of the largest cosine, block by block", "[links]") {
    const torch::Tensor a = unit_tokens(normal_noise({.seed = 1}, {700, 9}));
    const torch::Tensor b = unit_tokens(normal_noise({.seed = 2}, {7000, 9}) * 5);
    CHECK(nearest_tokens(a, b).equal(torch::matmul(a, b.t()).argmax(1)));
    CHECK(nearest_tokens(b, b).equal(torch::arange(7000)));
}

TEST_CASE("the branch that shows the source most plainly tells what corresponds", "[links]") {
    const auto telling = [](double guidance, double image_guidance, bool conditioned) {
        const torch::Tensor source = torch::zeros({1, 4, 2, 2});
        return telling_branch({.text = {},
                               .negative = {},
                               .source = conditioned ? source : torch::Tensor(),
                               .guidance = guidance,
                               .image_guidance = image_guidance},
                              conditioned);
    };
    CHECK(telling(7, 1.5, false) == 1);
    CHECK(telling(1, 1.5, false) == 0);
    CHECK(telling(0, 1.5, false) == 0);
    CHECK(telling(7, 1.5, true) == 1);
    CHECK(telling(2, 2, true) == 0);
    CHECK(telling(0, 2, true) == 0);
}

}  // namespace weft
