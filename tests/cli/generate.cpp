// weft generate as a program.
#include <catch2/catch.hpp>
#include <cmath>

#include "io/files/config.h"
#include "io/files/safetensors.h"
#include "io/media/picture.h"
#include "tests/cli/program.h"
#include "tests/fixtures/tiny_model.h"

using namespace weft;

TEST_CASE("generate --rng torch draws diffusers' picture") {
    const std::string parity = std::string(WEFT_SOURCE_DIR) + "/tests/parity";
    const SafeTensors file(parity + "/pictures.safetensors");
    const Config options = Config::parse(file.metadata().at("options"), "pictures");
    const TemporaryFolder work;
    for (const std::string sampler : {"ddim", "euler", "dpmpp_2m", "unipc"}) {
        INFO(sampler);
        const auto out = work / (sampler + ".png");
        const auto done =
            weft_program({.arguments = {"generate",
                                        "-p",
                                        options.text("prompt"),
                                        "--negative",
                                        options.text("negative"),
                                        "--model",
                                        parity + "/models/sd",
                                        "--steps",
                                        std::to_string(options.integer("steps", {1, 100})),
                                        "--guidance",
                                        std::to_string(options.number("guidance", {1, 30})),
                                        "--seed",
                                        std::to_string(options.integer("seed", {0, 1e9})),
                                        "--size",
                                        options.text("size"),
                                        "--sampler",
                                        sampler,
                                        "--rng",
                                        "torch",
                                        "--frames",
                                        "1",
                                        "--dtype",
                                        "f32",
                                        "-o",
                                        out.string()},
                          .models = work.path(),
                          .meanwhile = {}});
        INFO(done.error);
        REQUIRE(done.code == 0);
        const torch::Tensor theirs = file.tensor(sampler).to(torch::kFloat32).permute({2, 0, 1});
        const auto error = (read_picture(out) * 255 - theirs).square().mean().item<double>();
        CHECK(10 * std::log10(255 * 255 / std::max(error, 1e-9)) > 56);
    }
}
