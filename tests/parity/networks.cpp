#include <catch2/catch.hpp>

#include "diffusion/autoencoder.h"
#include "diffusion/clip.h"
#include "diffusion/unet.h"
#include "tests/parity/reference.h"

namespace weft {
namespace {

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
    const Precision precision = GENERATE(f32, bf16);
    const torch::NoGradGuard inference;
    const Reference reference(name);
    const Weights weights = reference.weights({.dtype = precision.dtype});
    const Unet unet(read_unet_config(reference.config()), weights);
    CHECK(weights.unused().empty());
    REQUIRE(reference.runs() > 0);
    for (int i = 0; i < reference.runs(); ++i) {
        const Reference::Run run = reference.run(i, precision.dtype);
        INFO(name << ", run " << i << ", " << precision.dtype);
        const torch::Tensor ours = run_unet(unet, run);
        CHECK(ours.scalar_type() == precision.dtype);
        CHECK(precision.error(ours, run.out.at("sample")) <= precision.tolerance());
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
          f32.tolerance());
}

TEST_CASE("autoencoders answer as diffusers does", "[autoencoder]") {
    const auto* name = GENERATE("kl", "kl_old_names", "kl_bare", "tiny");
    const Precision precision = GENERATE(f32, bf16);
    const torch::NoGradGuard inference;
    const Reference reference(name);
    const Weights weights = reference.weights({.dtype = precision.dtype});
    const auto autoencoder = make_autoencoder(reference.config(), weights);
    CHECK(weights.unused().empty());
    CHECK(autoencoder->scaling_factor() == reference.config().number("scaling_factor", {}));

    INFO(name << ", " << precision.dtype);
    const auto near = [&](const torch::Tensor& ours, const torch::Tensor& theirs) {
        CHECK(precision.error(ours, theirs) <= precision.tolerance());
    };
    const Reference::Run encoding = reference.run(0, precision.dtype);
    const Moments moments = autoencoder->encode(encoding.in.at("image"));
    near(moments.mean, encoding.out.at("mean"));
    if (encoding.out.contains("logvar")) {
        near(moments.logvar, encoding.out.at("logvar"));
    }
    const Reference::Run decoding = reference.run(1, precision.dtype);
    near(autoencoder->decode(decoding.in.at("latent")), decoding.out.at("image"));
}

TEST_CASE("CLIP text encoders answer as transformers does", "[clip]") {
    const auto* name = GENERATE("clip_quick_gelu", "clip_projection", "clip_bare_names");
    const Precision precision = GENERATE(f32, bf16);
    const torch::NoGradGuard inference;
    const Reference reference(name);
    const Weights weights = reference.weights({.dtype = precision.dtype});
    const ClipTextModel model(read_clip_text_config(reference.config()), weights);
    CHECK(weights.unused().empty());
    const Reference::Run run = reference.run(0);
    const TextStates states = model(run.in.at("input_ids"));
    INFO(name << ", " << precision.dtype);
    const auto near = [&](const torch::Tensor& ours, const torch::Tensor& theirs) {
        CHECK(precision.error(ours, theirs) <= precision.tolerance());
    };
    near(states.last_hidden_state, run.out.at("last_hidden_state"));
    near(states.penultimate_hidden_state, run.out.at("penultimate_hidden_state"));
    near(states.pooled, run.out.at("pooled"));
}

}  // namespace weft
