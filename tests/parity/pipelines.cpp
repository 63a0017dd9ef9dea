#include <catch2/catch.hpp>

#include "diffusion/probe.h"
#include "tests/parity/reference.h"

using namespace weft;

TEST_CASE("whole runs equal diffusers' pipelines", "[parity]") {
    const std::string folder = std::string(WEFT_SOURCE_DIR) + "/tests/parity";
    const SafeTensors file(folder + "/pipelines.safetensors");
    CHECK(file.metadata().size() == 12);
    for (const auto& [name, text] : file.metadata()) {
        INFO(text);
        const Config config = Config::parse(text, name);
        ProbeRequest request;
        request.component = "sample";
        request.model = folder + "/models/" + config.text("model");
        request.device = {.device = "cpu", .dtype = "f32"};
        request.text = config.text("prompt");
        request.negative = config.text("negative");
        request.sampler = config.text("sampler");
        request.steps = config.integer("steps", {1, 100});
        request.guidance = config.number("guidance", {0, 100});
        request.image_guidance = config.number("image_guidance", {0, 100}, 1.0);
        request.strength = config.number("strength", {0, 1}, 1.0);
        request.inputs = {{"latents", file.tensor(name + "/latents")}};
        if (file.has(name + "/image"))
            request.inputs.emplace_back("image", file.tensor(name + "/image"));
        const NamedTensors out = probe(request);
        const torch::Tensor result = file.tensor(name + "/result");
        // Random networks let latents grow; the bound is for unit size. Rounding counts 4096-fold
        // where Euler starts from pure noise (zero terminal SNR).
        const double size = std::max(1.0, result.abs().max().item<double>());
        const bool magnified = config.text("model") == "instruct" && *request.sampler == "euler";
        CHECK(max_error(out.front().second, result) / size < (magnified ? 1e-4 : 1e-5));
    }
}
