#include "diffusion/feature_cache.h"

#include <catch2/catch.hpp>

#include "diffusion/model.h"
#include "tests/fixtures/tiny_model.h"

using namespace weft;

namespace {

std::shared_ptr<const DiffusionModel> tiny() {
    const TemporaryFolder folder;
    write_tiny_model(folder.path(), TinyFamily::plain);
    return DiffusionModel::load(folder.path(), {.device = "cpu", .dtype = "f32"});
}

struct Choice {
    const char* sampler = "ddim";
    int64_t steps = 6;
    int64_t cache_every = 1;
    GuidanceInterval interval = {};
};

torch::Tensor run(const DiffusionModel& model, const Choice& choice) {
    const Conditioning conditioning{.text = model.encode_text({"watercolor painting"}),
                                    .negative = model.encode_negative({""}),
                                    .guidance = 2,
                                    .interval = choice.interval,
                                    .cache_every = choice.cache_every};
    const Sampler& chosen = sampler_named(choice.sampler);
    const torch::Tensor x = torch::linspace(-2, 2, 512).view({2, 4, 8, 8});
    return sample(chosen, model.denoise(conditioning), x, model.levels(chosen, choice.steps),
                  sampler_options(chosen, model.schedule()));
}

}  // namespace

TEST_CASE("every N-th call renews the features of each of its runs", "[cache]") {
    FeatureCache cache(3);
    const torch::Tensor input = torch::zeros({2, 4, 8, 8});
    std::vector<bool> reused;
    for (int call = 0; call < 7; ++call) {
        cache.begin();
        for (int run = 0; run < 2; ++run) {
            DeepFeatures* deep = cache.next(input);
            REQUIRE(deep != nullptr);
            reused.push_back(deep->reuse);
            if (!deep->reuse)
                deep->features = torch::full({2, 8, 8, 8}, run);
            CHECK(deep->features[0][0][0][0].item<int>() == run);
        }
    }
    CHECK(reused == std::vector<bool>{false, false, true, true, true, true, false, false, true,
                                      true, true, true, false, false});
    // Rows that come or go make the run whole.
    cache.begin();
    CHECK_FALSE(cache.next(torch::zeros({4, 4, 8, 8}))->reuse);
    FeatureCache off(1);
    off.begin();
    CHECK(off.next(input) == nullptr);
}

TEST_CASE("a run with cached features nears the exact one with smaller steps", "[cache]") {
    const auto model = tiny();
    for (const char* sampler : {"ddim", "dpmpp_2m", "heun"}) {
        INFO(sampler);
        const auto error = [&](int64_t steps) {
            const torch::Tensor exact = run(*model, {sampler, steps});
            const torch::Tensor cached = run(*model, {sampler, steps, 2});
            // A second run starts anew: batches share nothing.
            CHECK(run(*model, {sampler, steps, 2}).equal(cached));
            return ((cached - exact).norm() / exact.norm()).item<double>();
        };
        // Neighbouring calls are nearer where steps are smaller, and their features with them.
        const double coarse = error(6), fine = error(48);
        CHECK(coarse > 1e-3);
        CHECK(fine < 0.5 * coarse);
    }
}

TEST_CASE("cached features and a guidance interval go together", "[cache]") {
    const auto model = tiny();
    const torch::Tensor result = run(*model, {"ddim", 6, 2, {0.5, 3}});
    CHECK(result.isfinite().all().item<bool>());
    CHECK(result.equal(run(*model, {"ddim", 6, 2, {0.5, 3}})));
    CHECK_FALSE(result.equal(run(*model, {"ddim", 6, 2})));
}
