#include "diffusion/samplers.h"

#include <catch2/catch.hpp>

#include "diffusion/denoise.h"
#include "io/files/safetensors.h"
#include "tests/parity/reference.h"

using namespace weft;

namespace {

// Runs one case of samplers.safetensors by replaying its network; x after every step, in the scale
// of diffusers' scheduler.
struct Replay {
    Config config;
    const Sampler& sampler;
    Schedule schedule;
    std::vector<NoiseStep> steps;
    std::vector<torch::Tensor> ours;
    std::vector<torch::Tensor> theirs;

    Replay(const SafeTensors& file, const std::string& name)
        : config(Config::parse(file.metadata().at(name), name)),
          sampler(sampler_named(config.text("sampler"))),
          schedule(read_schedule_config(config)),
          steps(noise_levels(
              schedule,
              {.grid = sampler.grid, .spacing = {}, .steps = config.integer("steps", {1, 1000})})) {
        const bool divided = sampler.grid == Grid::euler;
        SamplerOptions options;
        options.eta = config.number("eta", {0, 1}, 0.0);
        options.clip = schedule.config().clip;
        options.noise = [&](int64_t step) { return file.tensor(name + "/noise")[step]; };
        options.on_step = [&](int64_t step, const torch::Tensor& x) {
            const NoiseLevel& to = steps[static_cast<size_t>(step)].to;
            const torch::Tensor prev_sample = file.tensor(name + "/prev_sample")[step];
            ours.push_back(x);
            theirs.push_back(divided ? prev_sample * to.alpha : prev_sample);
        };
        const torch::Tensor said = file.tensor(name + "/model_output");
        int64_t call = 0;
        const Denoise network = [&](const torch::Tensor& x, const NoiseLevel& level) {
            return to_x0(schedule.config().prediction, said[call++], x, level);
        };
        const double scale = divided ? steps.front().from.alpha : 1;
        sample(sampler, network, file.tensor(name + "/sample") * scale, steps, options);
    }

    torch::Tensor timesteps() const {
        std::vector<double> values;
        for (const NoiseStep& step : steps) values.push_back(step.from.t);
        return torch::tensor(values, torch::kFloat32);
    }

    torch::Tensor sigmas() const {
        std::vector<double> values;
        for (const NoiseStep& step : steps) values.push_back(step.from.sigma / step.from.alpha);
        values.push_back(steps.back().to.sigma / steps.back().to.alpha);
        return torch::tensor(values, torch::kFloat32);
    }
};

}  // namespace

TEST_CASE("whole runs equal diffusers' schedulers", "[parity]") {
    const SafeTensors file(std::string(WEFT_SOURCE_DIR) + "/tests/parity/samplers.safetensors");
    CHECK(file.metadata().size() > 120);
    for (const auto& [name, text] : file.metadata()) {
        INFO(name);
        const Replay replay(file, name);
        CHECK(max_error(replay.timesteps(), file.tensor(name + "/timesteps").to(torch::kFloat32)) <
              2e-3);
        if (file.has(name + "/sigmas")) {
            const torch::Tensor theirs = file.tensor(name + "/sigmas");
            CHECK(max_error(replay.sigmas() / (1 + theirs), theirs / (1 + theirs)) < 1e-6);
        }
        CHECK(max_error(torch::stack(replay.ours), torch::stack(replay.theirs)) < 1e-4);
    }
}
