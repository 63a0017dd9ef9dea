#include "diffusion/probe.h"

#include <ATen/CPUGeneratorImpl.h>

#include <catch2/catch.hpp>

#include "diffusion/samplers.h"
#include "io/files/error.h"

using namespace weft;

namespace {

const std::string models = std::string(WEFT_SOURCE_DIR) + "/tests/parity/models/";

ProbeRequest request_for(const std::string& component, NamedTensors inputs = {}) {
    ProbeRequest request;
    request.component = component;
    request.model = models + "sd";
    request.device = {.device = "cpu", .dtype = "f32"};
    request.inputs = std::move(inputs);
    return request;
}

std::vector<std::string> names_of(const NamedTensors& tensors) {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors) names.push_back(name);
    return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("each component answers with the tensors it promises") {
    ProbeRequest tokenize = request_for("tokenize");
    tokenize.text = "a red ball";
    const NamedTensors ids = probe(tokenize);
    CHECK(ids[0].second.sizes() == at::IntArrayRef({1, 77}));
    const NamedTensors text = probe(request_for("text", {{"input_ids", ids[0].second}}));
    CHECK(names_of(text) == Names{"last_hidden_state", "penultimate_hidden_state", "pooled"});
    const NamedTensors out =
        probe(request_for("unet", {{"sample", torch::randn({2, 4, 6, 8})},
                                   {"timestep", torch::tensor(500)},
                                   {"encoder_hidden_states", text[0].second.expand({2, 77, 16})}}));
    CHECK(out[0].second.sizes() == at::IntArrayRef({2, 4, 6, 8}));
    const NamedTensors moments =
        probe(request_for("vae-encode", {{"image", torch::zeros({1, 3, 8, 8})}}));
    CHECK(names_of(moments) == Names{"mean", "logvar"});
    CHECK(names_of(probe(request_for("vae-decode", {{"latent", moments[0].second}}))) ==
          Names{"image"});
}

TEST_CASE("every sampler is probed call by call") {
    for (const Sampler& sampler : samplers()) {
        if (sampler.grid == Grid::flow)
            continue;  // the model is none
        INFO(sampler.name);
        const int64_t calls = sampler.calls(5, {});
        NamedTensors inputs{{"sample", torch::randn({1, 4, 2, 2})}};
        for (int64_t i = 0; i < calls; ++i)
            inputs.emplace_back(c10::str("model_output.", i), torch::randn({1, 4, 2, 2}));
        ProbeRequest request = request_for("sampler", inputs);
        request.sampler = sampler.name;
        const NamedTensors out = probe(request);
        const Names names = names_of(out);
        CHECK(names.front() == "timesteps");
        CHECK(out.front().second.numel() == calls);
        CHECK(names.back() == c10::str("prev_sample.", calls - 1));
        CHECK(torch::equal(out.back().second, probe(request).back().second));
        request.steps = 6;
        CHECK_THROWS_WITH(probe(request), Catch::Contains("6 steps of"));
        request.steps = 5;
        request.seed = 1;
        const bool drawn = needs_noise(sampler, {});
        CHECK(torch::equal(out.back().second, probe(request).back().second) != drawn);
    }
    ProbeRequest flow = request_for("sampler", {{"sample", torch::randn({1, 4, 2, 2})},
                                                {"model_output.0", torch::randn({1, 4, 2, 2})}});
    flow.sampler = "flow_euler";
    CHECK_THROWS_WITH(probe(flow), Catch::Contains("flow-matching models only"));
    flow.sampler = "heun";
    flow.inputs.emplace_back("model_output.1", torch::randn({1, 4, 2, 2}));
    CHECK_THROWS_WITH(probe(flow), Catch::Contains("no number of steps of heun takes 2"));
}

TEST_CASE("given noise takes the place of torch's") {
    const torch::Tensor x = torch::randn({1, 4, 2, 2});
    ProbeRequest request = request_for("sampler", {{"sample", x},
                                                   {"model_output.0", torch::randn({1, 4, 2, 2})},
                                                   {"model_output.1", torch::randn({1, 4, 2, 2})}});
    request.sampler = "euler_a";
    const NamedTensors drawn = probe(request);
    auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{0});
    request.inputs.emplace_back("noise.0", torch::randn(x.sizes(), generator, x.options()));
    CHECK(torch::equal(probe(request).back().second, drawn.back().second));
    request.inputs.back().second = torch::zeros({1, 4, 2, 2});
    CHECK_FALSE(torch::equal(probe(request).back().second, drawn.back().second));
}

TEST_CASE("missing, misshapen and wrong tensors are named") {
    CHECK_THROWS_WITH(probe(request_for("unet")), Catch::Contains("'sample'"));
    CHECK_THROWS_WITH(probe(request_for("unet", {{"sample", torch::randn({1, 3, 8, 8})}})),
                      Catch::Contains("[any, 4, any, any]"));
    CHECK_THROWS_WITH(probe(request_for("text", {{"input_ids", torch::zeros({1, 77})}})),
                      Catch::Contains("i64"));
    CHECK_THROWS_WITH(probe(request_for("text", {{"input_ids", torch::full({1, 5}, 90000)}})),
                      Catch::Contains("716"));
    CHECK_THROWS_WITH(probe(request_for("vae-encode", {{"image", torch::full({1, 3, 8, 8}, NAN)}})),
                      Catch::Contains("not finite"));
    CHECK_THROWS_WITH(
        probe(request_for("sampler", {{"sample", torch::randn({1, 4, 2, 2})},
                                      {"model_output.0", torch::randn({1, 4, 2, 2})},
                                      {"model_output.2", torch::randn({1, 4, 2, 2})}})),
        Catch::Contains("model_output"));
    ProbeRequest sized = request_for("sample", {{"latents", torch::randn({1, 4, 6, 8})}});
    sized.size = {64, 64};
    CHECK_THROWS_WITH(probe(sized), Catch::Contains("16x12"));
    CHECK_THROWS_AS(probe(request_for("bogus")), UsageError);
}

TEST_CASE("strength 0 gives the source's own latents back") {
    ProbeRequest request = request_for("sample", {{"latents", torch::randn({1, 4, 6, 8})},
                                                  {"image", torch::rand({1, 3, 12, 16})}});
    request.strength = 0;
    request.steps = 4;
    const NamedTensors source = probe(request);
    request.inputs[0].second = torch::randn({1, 4, 6, 8});
    CHECK(torch::equal(source[0].second, probe(request)[0].second));
}
