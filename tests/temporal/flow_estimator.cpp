#include "temporal/flow_estimator.h"

#include <catch2/catch.hpp>

#include "io/files/error.h"
#include "temporal/steady_flow.h"
#include "tests/temporal/pictures.h"

using namespace weft;
using weft::tests::shift;
using weft::tests::texture;

namespace {

/// Mean length of the difference away from the border, where new content comes in.
double inner_error(const torch::Tensor& flow, const torch::Tensor& truth) {
    constexpr int64_t margin = 24;
    const auto inner = [=](const torch::Tensor& x) {
        return x.slice(2, margin, -margin).slice(3, margin, -margin);
    };
    return (inner(flow) - inner(truth)).square().sum(1).sqrt().mean().item<double>();
}

}  // namespace

TEST_CASE("estimators find a known motion") {
    for (const FlowEstimatorEntry& entry : flow_estimators()) {
        if (entry.needs_weights) {
            continue;
        }
        INFO(entry.name);
        const auto estimator = make_flow_estimator(entry.name);
        // Polynomials of two wavelengths are a rough fit to a texture of four.
        const double limit = entry.name == std::string("farneback") ? 0.5 : 0.15;
        const auto source = texture(128, 160);
        CHECK(inner_error((*estimator)(source, source), shift(128, 160, 0, 0)) < 0.02);
        for (const auto& [dx, dy] : {std::pair{3.0, -2.0}, {-1.5, 0.25}, {0.0, 5.0}}) {
            // What is at p now was at p + (dx, dy).
            const auto flow = (*estimator)(texture(128, 160, dx, dy), source);
            CHECK(inner_error(flow, shift(128, 160, dx, dy)) < limit);
        }
    }
}

TEST_CASE("estimators treat a batch as its pictures, small ones too") {
    for (const FlowEstimatorEntry& entry : flow_estimators()) {
        if (entry.needs_weights) {
            continue;
        }
        INFO(entry.name);
        const auto estimator = make_flow_estimator(entry.name);
        const auto now = torch::cat({texture(40, 48, 1), texture(40, 48, 0, 2)});
        const auto before = torch::cat({texture(40, 48), texture(40, 48)});
        const auto both = (*estimator)(now, before);
        CHECK(torch::equal(both.slice(0, 1), (*estimator)(now.slice(0, 1), before.slice(0, 1))));

        const auto tiny = (*estimator)(texture(5, 9, 0.5), texture(5, 9));
        CHECK(tiny.sizes() == torch::IntArrayRef({1, 2, 5, 9}));
        CHECK(torch::isfinite(tiny).all().item<bool>());
    }
}

TEST_CASE("flow both ways is consistent where the scene only moves") {
    const auto estimator = make_flow_estimator("dis");
    const auto evidence =
        estimate_both_ways(*estimator, texture(128, 160, 3, 1), texture(128, 160));
    const auto valid = checked_flow(evidence).valid.slice(2, 8, -8).slice(3, 8, -8);
    CHECK(valid.to(torch::kFloat32).mean().item<double>() > 0.95);
}

TEST_CASE("a flow that explains nothing is stilled, one that does is kept") {
    // Even ground with grain of half a code value: any flow fits, none fits better.
    const auto grey = 0.5 + 0.002 * torch::sin(torch::arange(64 * 64 * 3)).view({1, 3, 64, 64});
    const auto wandering = shift(64, 64, 1.5, -2);
    CHECK(steadied(wandering, grey, grey.flip(3)).abs().max().item<double>() == 0);

    const auto evidence = steadied(FlowEvidence{.target = texture(64, 64, 3, 1),
                                                .source = texture(64, 64),
                                                .backward = shift(64, 64, 3, 1),
                                                .forward = shift(64, 64, -3, -1)});
    const auto inner = [](const torch::Tensor& x) { return x.slice(2, 8, -8).slice(3, 8, -8); };
    CHECK(torch::equal(inner(evidence.backward), inner(shift(64, 64, 3, 1))));
    CHECK(torch::equal(inner(evidence.forward), inner(shift(64, 64, -3, -1))));
}

TEST_CASE("an unknown estimator is a clear error") {
    CHECK_THROWS_AS(make_flow_estimator("lucas"), UsageError);
    try {
        make_flow_estimator("lucas");
    } catch (const UsageError& error) {
        CHECK_THAT(error.what(), Catch::Contains("'lucas'") && Catch::Contains("known: dis"));
    }
}
