#include "diffusion/samplers.h"

#include <catch2/catch.hpp>

#include "diffusion/prediction.h"
#include "io/files/safetensors.h"
#include "tests/parity/reference.h"

using namespace weft;

namespace {

// One case of samplers.safetensors.
struct Case {
    Config config;
    Schedule schedule;
    int64_t calls;
    torch::Tensor rows;    // [1 + 2 calls + draws, h, w]
    torch::Tensor levels;  // timesteps, sigmas

    Case(const SafeTensors& file, const std::string& name)
        : config(Config::parse(file.metadata().at(name), name)),
          schedule(read_schedule_config(config)),
          calls(config.integer("calls", {1, 1000})),
          rows(file.tensor(name + "/run")),
          levels(file.tensor(name + "/levels")) {}

    // Row i as [1, 1, h, w].
    torch::Tensor row(int64_t i) const { return rows[i].unsqueeze(0).unsqueeze(0); }

    torch::Tensor said(int64_t call) const { return row(1 + call); }

    torch::Tensor prev_sample(int64_t call) const { return row(1 + calls + call); }

    torch::Tensor noise(int64_t draw) const { return row(1 + 2 * calls + draw); }

    std::vector<NoiseStep> steps(Grid grid) const {
        LevelRequest request{
            .grid = grid, .spacing = {}, .steps = config.integer("steps", {1, 1000})};
        if (config.flag("ays", false))
            request.spacing = Spacing::ays;
        if (config.has("tokens"))
            request.image_tokens = config.integer("tokens", {1, 1e6});
        return noise_levels(schedule, request);
    }
};

// Replays the case's network; what is compared, in the scale of x.
struct Replay {
    std::vector<double> times;
    std::vector<double> sigmas;  // one a step, and where the last arrives
    std::vector<torch::Tensor> ours;
    std::vector<torch::Tensor> theirs;

    explicit Replay(const Case& given) {
        const Sampler& sampler = sampler_named(given.config.text("sampler"));
        const bool scaled = given.config.text("scale", "") == "ratio";
        const std::vector<NoiseStep> steps = given.steps(sampler.grid);
        const auto sigma = [&](const NoiseLevel& level) {
            return given.schedule.is_flow() ? level.sigma : level.ratio();
        };
        for (const NoiseStep& step : steps) sigmas.push_back(sigma(step.from));
        sigmas.push_back(sigma(steps.back().to));
        SamplerOptions options = sampler_options(sampler, given.schedule);
        if (given.config.has("eta"))
            options.eta = given.config.number("eta", {0, 1});
        options.noise = [&](int64_t draw) { return given.noise(draw); };
        options.on_call = [&](const torch::Tensor& x, const NoiseLevel& level) {
            const torch::Tensor prev = given.prev_sample(static_cast<int64_t>(theirs.size()));
            ours.push_back(x);
            theirs.push_back(scaled ? prev * level.alpha : prev);
        };
        const Denoise network = [&](const torch::Tensor& x, const NoiseLevel& level) {
            const torch::Tensor said = given.said(static_cast<int64_t>(times.size()));
            times.push_back(level.t);
            return to_x0(given.schedule.config().prediction, said, x, level);
        };
        const torch::Tensor start = given.row(0);
        sample(sampler, network, scaled ? start * steps.front().from.alpha : start, steps, options);
    }
};

}  // namespace

TEST_CASE("whole runs equal diffusers' schedulers", "[parity]") {
    const SafeTensors file(std::string(WEFT_SOURCE_DIR) + "/tests/parity/samplers.safetensors");
    CHECK(file.metadata().size() > 300);
    for (const auto& [name, text] : file.metadata()) {
        const Case given(file, name);
        if (given.config.text("sampler") == "ddim_inverse")
            continue;
        INFO(name);
        const Replay replay(given);
        REQUIRE(static_cast<int64_t>(replay.ours.size()) == given.calls);
        const torch::Tensor times = torch::tensor(replay.times, torch::kFloat32);
        CHECK(max_error(times, given.levels.slice(0, 0, given.calls)) < 2e-3);
        CHECK(max_error(torch::stack(replay.ours), torch::stack(replay.theirs)) < 1e-4);
        // Those with two calls a step list sigmas twice, those by timestep none.
        const torch::Tensor ours = torch::tensor(replay.sigmas, torch::kFloat32);
        const torch::Tensor theirs = given.levels.slice(0, given.calls);
        if (theirs.numel() == ours.numel())
            CHECK(max_error(ours / (1 + theirs), theirs / (1 + theirs)) < 1e-5);
    }
}

TEST_CASE("every sampler has references", "[parity]") {
    const SafeTensors file(std::string(WEFT_SOURCE_DIR) + "/tests/parity/samplers.safetensors");
    for (const Sampler& sampler : samplers()) {
        INFO(sampler.name);
        const std::string prefix = std::string(sampler.name) + "/";
        CHECK(std::any_of(file.metadata().begin(), file.metadata().end(),
                          [&](const auto& entry) { return entry.first.starts_with(prefix); }));
    }
}

TEST_CASE("ddim runs backwards as diffusers' DDIMInverseScheduler", "[parity]") {
    const SafeTensors file(std::string(WEFT_SOURCE_DIR) + "/tests/parity/samplers.safetensors");
    int cases = 0;
    for (const auto& [name, text] : file.metadata()) {
        const Case given(file, name);
        if (given.config.text("sampler") != "ddim_inverse")
            continue;
        INFO(name);
        ++cases;
        int64_t call = 0;
        const Prediction prediction = given.schedule.config().prediction;
        const Denoise network = [&](const torch::Tensor& x, const NoiseLevel& level) {
            CHECK(level.t == given.levels[call].item<double>());
            return to_x0(prediction, given.said(call++), x, level);
        };
        const auto ours = invert_ddim(network, given.row(0), given.steps(Grid::ddim), prediction);
        REQUIRE(static_cast<int64_t>(ours.size()) == given.calls);
        for (int64_t i = 0; i < given.calls; ++i)
            CHECK(max_error(ours[static_cast<size_t>(i)], given.prev_sample(i)) < 1e-4);
    }
    CHECK(cases > 8);
}
