#include <array>

#include "diffusion/noise_levels.h"
#include "io/files/error.h"

namespace weft {

namespace {

template <typename Value>
struct Named {
    const char* name;
    Value value;
};

// The value a key names; Error listing the known names otherwise.
template <typename Value, size_t count>
Value choice(const Config& config, const std::string& key, const std::string& otherwise,
             const std::array<Named<Value>, count>& table) {
    const std::string text = config.text(key, otherwise);
    std::string known;
    for (const Named<Value>& row : table) {
        if (text == row.name)
            return row.value;
        known += (known.empty() ? "" : ", ") + std::string(row.name);
    }
    throw Error(config.where(), c10::str(key, " '", text, "' is not supported"),
                "weft knows " + known);
}

constexpr std::array<Named<Prediction>, 3> predictions{{
    {"epsilon", Prediction::epsilon},
    {"v_prediction", Prediction::v},
    {"sample", Prediction::sample},
}};

constexpr std::array<Named<ScheduleConfig::Betas>, 3> beta_curves{{
    {"linear", ScheduleConfig::Betas::linear},
    {"scaled_linear", ScheduleConfig::Betas::scaled_linear},
    {"squaredcos_cap_v2", ScheduleConfig::Betas::squaredcos_cap_v2},
}};

constexpr std::array<Named<Spacing>, 3> spacings{{
    {"leading", Spacing::leading},
    {"linspace", Spacing::linspace},
    {"trailing", Spacing::trailing},
}};

constexpr std::array<Named<bool>, 2> final_sigmas{{{"zero", false}, {"sigma_min", true}}};

void refuse_other_processes(const Config& config) {
    const std::string name = config.text("_class_name", "");
    const bool flow = name.find("FlowMatch") != std::string::npos;
    const bool continuous = config.text("timestep_type", "discrete") != "discrete";
    const bool edm = name.find("EDM") != std::string::npos;
    if (flow || continuous || edm)
        throw Error(config.where(), c10::str("scheduler '", name, "' has no discrete betas"),
                    "weft runs models of the Stable Diffusion 1 and 2 kind");
}

}  // namespace

ScheduleConfig read_schedule_config(const Config& config) {
    refuse_other_processes(config);
    ScheduleConfig out;
    out.train_steps = config.integer("num_train_timesteps", {1, 100000}, out.train_steps);
    out.beta_start = config.number("beta_start", {0, 0.999}, out.beta_start);
    out.beta_end = config.number("beta_end", {0, 0.999}, out.beta_end);
    out.betas = choice(config, "beta_schedule", "linear", beta_curves);
    out.prediction = choice(config, "prediction_type", "epsilon", predictions);
    out.zero_terminal_snr = config.flag("rescale_betas_zero_snr", false);
    if (config.has("timestep_spacing"))
        out.spacing = choice(config, "timestep_spacing", "leading", spacings);
    out.karras = config.flag("use_karras_sigmas", false);
    out.steps_offset = config.integer("steps_offset", {0, 1000}, 0);
    out.set_alpha_to_one = config.flag("set_alpha_to_one", true);
    out.final_sigma_min = choice(config, "final_sigmas_type", "zero", final_sigmas);
    if (config.flag("clip_sample", true))
        out.clip = config.number("clip_sample_range", {1e-6, 1e6}, 1.0);
    if (config.has("trained_betas")) {
        out.trained_betas = config.numbers("trained_betas", {0, 0.9999});
        if (static_cast<int64_t>(out.trained_betas.size()) != out.train_steps)
            throw Error(config.where(),
                        c10::str("trained_betas holds ", out.trained_betas.size(),
                                 " values, num_train_timesteps says ", out.train_steps));
    }
    return out;
}

}  // namespace weft
