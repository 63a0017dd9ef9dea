#include "diffusion/schedule_config.h"

#include <c10/util/StringUtil.h>

#include <array>

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

constexpr std::array<Named<Spacing>, 7> spacing_table{{
    {"leading", Spacing::leading},
    {"linspace", Spacing::linspace},
    {"trailing", Spacing::trailing},
    {"karras", Spacing::karras},
    {"exponential", Spacing::exponential},
    {"beta", Spacing::beta},
    {"ays", Spacing::ays},
}};

constexpr std::array<Named<Spacing>, 3> timestep_spacings{
    {spacing_table[0], spacing_table[1], spacing_table[2]}};

constexpr std::array<Named<Spacing>, 3> ratio_spacings{{
    {"use_karras_sigmas", Spacing::karras},
    {"use_exponential_sigmas", Spacing::exponential},
    {"use_beta_sigmas", Spacing::beta},
}};

constexpr std::array<Named<Prediction>, 5> predictions{{
    {"epsilon", Prediction::epsilon},
    {"v_prediction", Prediction::v},
    {"sample", Prediction::sample},
    {"original_sample", Prediction::sample},
    {"flow_prediction", Prediction::flow},
}};

constexpr std::array<Named<ScheduleConfig::Betas>, 3> beta_curves{{
    {"linear", ScheduleConfig::Betas::linear},
    {"scaled_linear", ScheduleConfig::Betas::scaled_linear},
    {"squaredcos_cap_v2", ScheduleConfig::Betas::squaredcos_cap_v2},
}};

constexpr std::array<Named<bool>, 2> final_sigmas{{{"zero", false}, {"sigma_min", true}}};

constexpr std::array<Named<bool>, 2> time_shifts{{{"exponential", true}, {"linear", false}}};

constexpr std::array<Named<SolverConfig::DdpmVariance>, 2> variances{{
    {"fixed_small", SolverConfig::DdpmVariance::fixed_small},
    {"fixed_large", SolverConfig::DdpmVariance::fixed_large},
}};

void refuse_other_processes(const Config& config) {
    const std::string name = config.text("_class_name", "");
    const bool continuous = config.text("timestep_type", "discrete") != "discrete";
    const bool edm = name.find("EDM") != std::string::npos;
    if (continuous || edm)
        throw Error(config.where(), c10::str("scheduler '", name, "' has no discrete timesteps"),
                    "weft runs schedules over betas and flow matching");
    for (const char* key : {"thresholding", "invert_sigmas", "use_lu_lambdas"})
        if (config.flag(key, false))
            throw Error(config.where(), c10::str(key, " is not supported"),
                        c10::str("set it to false"));
}

void read_betas(const Config& config, ScheduleConfig& out) {
    out.beta_start = config.number("beta_start", {0, 0.999}, out.beta_start);
    out.beta_end = config.number("beta_end", {0, 0.999}, out.beta_end);
    out.betas = choice(config, "beta_schedule", "linear", beta_curves);
    out.zero_terminal_snr = config.flag("rescale_betas_zero_snr", false);
    if (!config.has("trained_betas"))
        return;
    out.trained_betas = config.numbers("trained_betas", {0, 0.9999});
    if (static_cast<int64_t>(out.trained_betas.size()) != out.train_steps)
        throw Error(config.where(),
                    c10::str("trained_betas holds ", out.trained_betas.size(),
                             " values, num_train_timesteps says ", out.train_steps));
}

void read_spacing(const Config& config, ScheduleConfig& out) {
    if (config.has("timestep_spacing"))
        out.spacing = choice(config, "timestep_spacing", "leading", timestep_spacings);
    for (const auto& [key, spacing] : ratio_spacings) {
        if (!config.flag(key, false))
            continue;
        if (out.ratio_spacing)
            throw Error(config.where(), c10::str(key, " and another use_..._sigmas are both set"),
                        "keep one of them");
        out.ratio_spacing = spacing;
    }
    constexpr Range sigmas{1e-6, 1e6};
    if (config.has("sigma_min"))
        out.sigma_min = config.number("sigma_min", sigmas);
    if (config.has("sigma_max"))
        out.sigma_max = config.number("sigma_max", sigmas);
    out.steps_offset = config.integer("steps_offset", {0, 1000}, 0);
    if (config.has("set_alpha_to_one"))
        out.set_alpha_to_one = config.flag("set_alpha_to_one");
    out.final_sigma_min = choice(config, "final_sigmas_type", "zero", final_sigmas);
}

// Schedulers that know no other prediction than the flow.
bool is_flow_matching(const Config& config) {
    return config.text("_class_name", "").find("FlowMatch") != std::string::npos;
}

std::optional<FlowShift> read_flow(const Config& config) {
    const bool matching = is_flow_matching(config);
    const bool flow_sigmas = config.flag("use_flow_sigmas", false);
    const bool flow_prediction = config.text("prediction_type", "") == "flow_prediction";
    if (!matching && !flow_sigmas && !flow_prediction)
        return std::nullopt;
    FlowShift out;
    out.shift = config.number(matching || !config.has("flow_shift") ? "shift" : "flow_shift",
                              {1e-3, 1e3}, out.shift);
    out.dynamic = config.flag("use_dynamic_shifting", false);
    out.base_shift = config.number("base_shift", {-10, 10}, out.base_shift);
    out.max_shift = config.number("max_shift", {-10, 10}, out.max_shift);
    out.base_image_seq_len = config.integer("base_image_seq_len", {1, 1e8}, 256);
    out.max_image_seq_len = config.integer("max_image_seq_len", {2, 1e8}, 4096);
    out.exponential = choice(config, "time_shift_type", "exponential", time_shifts);
    if (config.has("shift_terminal"))
        out.terminal = config.number("shift_terminal", {0, 0.999});
    return out;
}

SolverConfig read_solver(const Config& config) {
    SolverConfig out;
    const std::string type = config.text("solver_type", "");
    out.order = config.integer("solver_order", {1, 3}, out.order);
    out.dpm = type == "heun" ? SolverConfig::Dpm::heun : SolverConfig::Dpm::midpoint;
    out.unipc = type == "bh1" ? SolverConfig::UniPc::bh1 : SolverConfig::UniPc::bh2;
    out.lower_order_final = config.flag("lower_order_final", true);
    out.euler_at_final = config.flag("euler_at_final", false);
    if (config.has("disable_corrector"))
        out.disable_corrector = config.integers("disable_corrector", {0, 1e6});
    if (!config.flag("predict_x0", true))
        throw Error(config.where(), "predict_x0 false is not supported", "set it to true");
    out.skip_prk_steps = config.flag("skip_prk_steps", false);
    if (config.has("variance_type"))
        out.variance = choice(config, "variance_type", "fixed_small", variances);
    out.original_inference_steps = config.integer("original_inference_steps", {1, 100000}, 50);
    out.timestep_scaling = config.number("timestep_scaling", {0, 1e6}, out.timestep_scaling);
    out.stochastic_sampling = config.flag("stochastic_sampling", false);
    return out;
}

}  // namespace

ScheduleConfig read_schedule_config(const Config& config) {
    refuse_other_processes(config);
    ScheduleConfig out;
    out.train_steps = config.integer("num_train_timesteps", {1, 100000}, out.train_steps);
    out.flow = read_flow(config);
    const char* otherwise = out.flow ? "flow_prediction" : "epsilon";
    out.prediction = is_flow_matching(config)
                         ? Prediction::flow
                         : choice(config, "prediction_type", otherwise, predictions);
    read_betas(config, out);
    read_spacing(config, out);
    if (config.flag("clip_sample", true))
        out.clip = config.number("clip_sample_range", {1e-6, 1e6}, 1.0);
    out.clip_is_default = !config.has("clip_sample");
    out.solver = read_solver(config);
    return out;
}

Spacing spacing_named(const std::string& name) {
    for (const auto& [known, spacing] : spacing_table)
        if (name == known)
            return spacing;
    throw UsageError(name, "no such spacing", "take " + c10::Join(", ", spacing_names()));
}

const char* name_of(Spacing spacing) {
    for (const auto& [name, known] : spacing_table)
        if (known == spacing)
            return name;
    return "";
}

std::vector<std::string> spacing_names() {
    std::vector<std::string> names;
    names.reserve(std::size(spacing_table));
    for (const auto& row : spacing_table) names.emplace_back(row.name);
    return names;
}

}  // namespace weft
