#include <catch2/catch.hpp>

#include "diffusion/linked_network.h"
#include "diffusion/unet.h"
#include "tests/parity/reference.h"

namespace weft {
namespace {

// The runs of make_coupling_references.py.
FrameLinks links_of(const Reference::Run& run, int number) {
    FrameLinks links{.references = 3, .sees = run.in.at("sees"), .distance = run.in.at("distance")};
    if (number == 1 || number == 3)
        links.way = FrameLinks::Way::tokens;
    if (number == 1)
        links.blend = FrameLinks::Blend::published;
    return links;
}

LinkedBatch batch_of(const Reference::Run& run, const UnetConfig& config) {
    LinkedBatch batch{.frames = 5,
                      .input = run.in.at("sample"),
                      .text = {.states = run.in.at("encoder_hidden_states")},
                      .match = 1};
    if (run.in.contains("source")) {
        batch.source = run.in.at("source");
        batch.source_text.states = run.in.at("source_text");
        batch.taken = {.features = SiteChoice(injected_features(config)),
                       .maps = SiteChoice(injected_maps(config))};
    }
    return batch;
}

}  // namespace

TEST_CASE("frames see each other and their source as in diffusers with processors", "[links]") {
    const Precision precision = GENERATE(f32, bf16);
    const torch::NoGradGuard inference;
    const Reference reference("unet_coupled");
    const UnetConfig config = expanded(read_unet_config(reference.config()), "unet_coupled");
    const Unet unet(config, reference.weights({.dtype = precision.dtype}));
    REQUIRE(reference.runs() == 4);
    for (int i = 0; i < reference.runs(); ++i) {
        const Reference::Run run = reference.run(i, precision.dtype);
        const CoupledNetwork network = [&](const NetworkCall& call) {
            return unet(call.input, run.in.at("timestep"), call.text.states,
                        {.coupling = call.coupling});
        };
        FrameLinks links = links_of(run, i);
        // The links matter in every run.
        LinkedBatch alone = batch_of(run, config);
        alone.taken = {};
        CHECK(max_error(run_linked(unlinked(5), alone, network), run.out.at("sample")) > 0.01);
        for (const int64_t rows : {0, 1}) {
            INFO("run " << i << ", " << rows << " rows a call, " << precision.dtype);
            links.rows_per_call = rows;
            CHECK(precision.error(run_linked(links, batch_of(run, config), network),
                                  run.out.at("sample")) <= precision.tolerance());
        }
    }
}

}  // namespace weft
