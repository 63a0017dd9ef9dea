#include <catch2/catch.hpp>

#include "diffusion/autoencoder.h"
#include "diffusion/clip.h"
#include "diffusion/unet.h"
#include "tests/parity/reference.h"

namespace weft {
namespace {

constexpr double tolerance = 1e-4;

torch::Tensor optional_input(const Reference::Run& run, const std::string& name) {
    const auto found = run.in.find(name);
    return found == run.in.end() ? torch::Tensor() : found->second;
}

UnetInputs unet_inputs(const Reference::Run& run) {
    UnetInputs inputs;
    inputs.text_embeds = optional_input(run, "text_embeds");
    inputs.time_ids = optional_input(run, "time_ids");
    inputs.timestep_cond = optional_input(run, "timestep_cond");
    inputs.class_labels = optional_input(run, "class_labels");
    inputs.mid_block_additional_residual = optional_input(run, "mid_block_additional_residual");
    for (int i = 0; run.in.contains(c10::str("down_block_additional_residuals.", i)); ++i) {
        inputs.down_block_additional_residuals.push_back(
            run.in.at(c10::str("down_block_additional_residuals.", i)));
    }
    return inputs;
}

torch::Tensor run_unet(const Unet& unet, const Reference::Run& run) {
    return unet(run.in.at("sample"), run.in.at("timestep"), run.in.at("encoder_hidden_states"),
                unet_inputs(run));
}

}  // namespace

TEST_CASE("UNets answer as diffusers does", "[unet]") {
    const auto* name =
        GENERATE("unet_sd1", "unet_sd2", "unet_sdxl", "unet_ip2p", "unet_inpaint", "unet_odd",
                 "unet_starter", "unet_residuals", "unet_labels", "unet_projection");
    const torch::NoGradGuard inference;
    const Reference reference(name);
    const Weights weights = reference.weights();
    const Unet unet(read_unet_config(reference.config()), weights);
    CHECK(weights.unused().empty());
    REQUIRE(reference.runs() > 0);
    for (int i = 0; i < reference.runs(); ++i) {
        const Reference::Run run = reference.run(i);
        INFO(name << ", run " << i);
        CHECK(max_error(run_unet(unet, run), run.out.at("sample")) <= tolerance);
    }
}

TEST_CASE("a config written by weft gives the same UNet", "[unet]") {
    const auto* name =
        GENERATE("unet_sd1", "unet_sdxl", "unet_starter", "unet_labels", "unet_projection");
    const torch::NoGradGuard inference;
    const Reference reference(name);
    const UnetConfig config = read_unet_config(reference.config());
    const std::string text = unet_config_json(Unet(config, reference.weights()).config());
    const UnetConfig again = read_unet_config(Config::parse(text, "again"));
    CHECK(unet_config_json(again) == unet_config_json(config));
    const Reference::Run run = reference.run(0);
    CHECK(max_error(run_unet(Unet(again, reference.weights()), run), run.out.at("sample")) <=
          tolerance);
}

TEST_CASE("a bf16 UNet stays near its f32 reference", "[unet]") {
    const torch::NoGradGuard inference;
    const Reference reference("unet_sd1");
    const Unet unet(read_unet_config(reference.config()),
                    reference.weights({.dtype = torch::kBFloat16}));
    Reference::Run run = reference.run(0);
    for (auto& [name, tensor] : run.in) {
        tensor = name == "timestep" ? tensor : tensor.to(torch::kBFloat16);
    }
    const torch::Tensor out = run_unet(unet, run);
    CHECK(out.scalar_type() == torch::kBFloat16);
    const torch::Tensor theirs = run.out.at("sample");
    const torch::Tensor error = out.to(torch::kFloat32) - theirs;
    CHECK((error.norm() / theirs.norm()).item<double>() <= 0.05);
}

TEST_CASE("autoencoders answer as diffusers does", "[autoencoder]") {
    const auto* name = GENERATE("kl", "kl_old_names", "kl_bare", "tiny");
    const torch::NoGradGuard inference;
    const Reference reference(name);
    const Weights weights = reference.weights();
    const auto autoencoder = make_autoencoder(reference.config(), weights);
    CHECK(weights.unused().empty());
    CHECK(autoencoder->scaling_factor() == reference.config().number("scaling_factor", {}));

    const Reference::Run encoding = reference.run(0);
    const Moments moments = autoencoder->encode(encoding.in.at("image"));
    INFO(name);
    CHECK(max_error(moments.mean, encoding.out.at("mean")) <= tolerance);
    if (encoding.out.contains("logvar")) {
        CHECK(max_error(moments.logvar, encoding.out.at("logvar")) <= tolerance);
    }
    const Reference::Run decoding = reference.run(1);
    CHECK(max_error(autoencoder->decode(decoding.in.at("latent")), decoding.out.at("image")) <=
          tolerance);
}

TEST_CASE("CLIP text encoders answer as transformers does", "[clip]") {
    const auto* name = GENERATE("clip_quick_gelu", "clip_projection", "clip_bare_names");
    const torch::NoGradGuard inference;
    const Reference reference(name);
    const Weights weights = reference.weights();
    const ClipTextModel model(read_clip_text_config(reference.config()), weights);
    CHECK(weights.unused().empty());
    const Reference::Run run = reference.run(0);
    const TextStates states = model(run.in.at("input_ids"));
    INFO(name);
    CHECK(max_error(states.last_hidden_state, run.out.at("last_hidden_state")) <= tolerance);
    CHECK(max_error(states.penultimate_hidden_state, run.out.at("penultimate_hidden_state")) <=
          tolerance);
    CHECK(max_error(states.pooled, run.out.at("pooled")) <= tolerance);
}

}  // namespace weft
