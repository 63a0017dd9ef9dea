#include "diffusion/noise_levels.h"

#include <catch2/catch.hpp>

#include "diffusion/denoise.h"
#include "io/files/error.h"

using namespace weft;

namespace {

ScheduleConfig config_of(const std::string& json) {
    return read_schedule_config(Config::parse(json, "scheduler_config.json"));
}

std::vector<double> times(const std::vector<NoiseStep>& steps) {
    std::vector<double> out;
    for (const NoiseStep& step : steps) out.push_back(step.from.t);
    return out;
}

constexpr std::array<Grid, 3> grids{Grid::ddim, Grid::euler, Grid::dpm};

}  // namespace

TEST_CASE("levels fall, keep unit variance and chain, for all grids and spacings") {
    const Schedule schedule;
    for (const Grid grid : grids)
        for (const Spacing spacing :
             {Spacing::leading, Spacing::linspace, Spacing::trailing, Spacing::karras})
            for (const int64_t count : {1, 2, 8, 20, 50}) {
                INFO(static_cast<int>(grid) << name_of(spacing) << count);
                const auto steps =
                    noise_levels(schedule, {.grid = grid, .spacing = spacing, .steps = count});
                REQUIRE(static_cast<int64_t>(steps.size()) == count);
                for (const NoiseStep& step : steps) {
                    CHECK(step.from.alpha * step.from.alpha + step.from.sigma * step.from.sigma ==
                          Approx(1).margin(1e-6));
                    CHECK(step.to.sigma < step.from.sigma);
                    CHECK(step.from.t >= 0);
                    CHECK(step.from.t < 1000);
                }
                CHECK(steps.back().to.sigma == Approx(0).margin(1e-6));
                CHECK(steps.back().to.alpha == Approx(1).margin(1e-6));
            }
}

TEST_CASE("spacings cut as in table 2 of arXiv 2305.08891") {
    const Schedule schedule;
    auto cut = [&](Spacing spacing) {
        return times(noise_levels(schedule, {.grid = Grid::ddim, .spacing = spacing, .steps = 5}));
    };
    CHECK(cut(Spacing::leading) == std::vector<double>{800, 600, 400, 200, 0});
    CHECK(cut(Spacing::linspace) == std::vector<double>{999, 749, 500, 250, 0});
    CHECK(cut(Spacing::trailing) == std::vector<double>{999, 799, 599, 399, 199});
}

TEST_CASE("strength keeps the last steps, at least one above zero") {
    const Schedule schedule;
    auto kept = [&](double strength) {
        return noise_levels(schedule,
                            {.grid = Grid::ddim, .spacing = {}, .steps = 10, .strength = strength});
    };
    const auto all = kept(1);
    CHECK(kept(0).empty());
    CHECK(kept(0.01).size() == 1);
    CHECK(kept(0.55).size() == 5);
    CHECK(kept(0.6).size() == 6);
    CHECK(kept(0.6).front().from.t == all[4].from.t);
    CHECK_THROWS_AS(kept(1.2), UsageError);
    CHECK_THROWS_AS(kept(-0.1), UsageError);
}

TEST_CASE("zero terminal SNR starts in pure noise where the sampler can") {
    const Schedule schedule(config_of(R"({"rescale_betas_zero_snr": true,
        "prediction_type": "v_prediction", "timestep_spacing": "trailing"})"));
    CHECK(schedule.alphas_cumprod()[-1].item<float>() == 0);
    const auto ddim = noise_levels(schedule, {.grid = Grid::ddim, .spacing = {}, .steps = 4});
    CHECK(ddim.front().from.alpha == 0);
    const auto euler = noise_levels(schedule, {.grid = Grid::euler, .spacing = {}, .steps = 4});
    CHECK(euler.front().from.alpha == Approx(1.0 / 4096));
    ScheduleConfig epsilon = schedule.config();
    epsilon.prediction = Prediction::epsilon;
    CHECK_THROWS_AS(
        noise_levels(Schedule(epsilon), {.grid = Grid::ddim, .spacing = {}, .steps = 4}), Error);
}

TEST_CASE("bad schedules and step counts are told") {
    CHECK_THROWS_WITH(config_of(R"({"beta_schedule": "sigmoid"})"), Catch::Contains("sigmoid"));
    CHECK_THROWS_AS(config_of(R"({"prediction_type": "flow"})"), Error);
    CHECK_THROWS_AS(config_of(R"({"num_train_timesteps": 0})"), Error);
    CHECK_THROWS_AS(config_of(R"({"beta_end": 7})"), Error);
    CHECK_THROWS_AS(config_of(R"({"_class_name": "FlowMatchEulerDiscreteScheduler"})"), Error);
    CHECK_THROWS_AS(config_of(R"({"trained_betas": [0.1, 0.2]})"), Error);
    CHECK_THROWS_AS(spacing_named("golden"), UsageError);
    const Schedule schedule;
    for (const Grid grid : grids) {
        CHECK_THROWS_AS(noise_levels(schedule, {.grid = grid, .spacing = {}, .steps = 0}),
                        UsageError);
        CHECK_THROWS_AS(noise_levels(schedule, {.grid = grid, .spacing = {}, .steps = 1001}),
                        UsageError);
    }
}

TEST_CASE("what the network says and x0 are inverse for all predictions") {
    const torch::Tensor x0 = torch::linspace(-1, 1, 12).view({1, 1, 3, 4});
    const torch::Tensor noise = torch::linspace(2, -1, 12).view({1, 1, 3, 4});
    const NoiseLevel level = Schedule().level(600);
    const torch::Tensor x = add_noise(x0, noise, level);
    for (const Prediction kind : {Prediction::epsilon, Prediction::v, Prediction::sample})
        CHECK(torch::allclose(to_x0(kind, target_of(kind, x0, noise, level), x, level), x0, 1e-4,
                              1e-5));
}
