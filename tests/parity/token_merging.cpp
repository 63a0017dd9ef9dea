#include <catch2/catch.hpp>

#include "diffusion/attention.h"
#include "diffusion/token_merging.h"
#include "tests/parity/reference.h"

namespace weft {

TEST_CASE("tokens are merged as the paper says", "[merging]") {
    const torch::NoGradGuard inference;
    const Reference reference("merged_attention");
    const Config config = reference.config();
    const int64_t width = config.integer("width", {1, 64});
    const Weights weights = reference.weights();
    const Attention attention(
        weights.scope("attn1"),
        {.width = width, .context = width, .heads = config.integer("heads", {1, 8})});
    CHECK(weights.unused().empty());
    REQUIRE(reference.runs() == 5);
    for (int i = 0; i < reference.runs(); ++i) {
        INFO("run " << i);
        const Reference::Run run = reference.run(i);
        const torch::Tensor& states = run.in.at("hidden_states");
        const torch::Tensor& theirs = run.out.at("hidden_states");
        const torch::Tensor size = run.in.at("size");
        const MergePlaces places =
            merge_places(size[0].item<int64_t>(), size[1].item<int64_t>(), run.in.at("corner"));
        const auto ratio = run.in.at("ratio").item<double>();
        TokenMerging merging(ratio, places, nullptr);
        CHECK(max_error(merging.attend(attention, states), theirs) <= 1e-5);
        // The merging is seen, unless there is less than one token to merge.
        const bool merges = ratio * static_cast<double>(states.size(1)) >= 1;
        CHECK((max_error(attention(states, states), theirs) > 0.01) == merges);
    }
}

}  // namespace weft
