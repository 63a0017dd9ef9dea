#include "diffusion/noise_levels.h"

#include <catch2/catch.hpp>

#include "diffusion/prediction.h"
#include "diffusion/spacing.h"
#include "io/files/error.h"

using namespace weft;

namespace {

ScheduleConfig config_of(const std::string& json) {
    return read_schedule_config(Config::parse(json, "scheduler_config.json"));
}

std::vector<double> times(const std::vector<NoiseStep>& steps) {
    std::vector<double> out;
    out.reserve(steps.size());
    for (const NoiseStep& step : steps) out.push_back(step.from.t);
    return out;
}

constexpr std::array<Grid, 8> grids{Grid::ddim, Grid::pndm, Grid::ddpm,  Grid::euler,
                                    Grid::kdpm, Grid::dpm,  Grid::unipc, Grid::deis};

}  // namespace

TEST_CASE("levels fall, keep unit variance and chain, for all grids and spacings") {
    const Schedule schedule;
    for (const Grid grid : grids)
        for (const Spacing spacing :
             {Spacing::leading, Spacing::linspace, Spacing::trailing, Spacing::karras,
              Spacing::exponential, Spacing::beta, Spacing::ays})
            for (const int64_t count : {1, 2, 8, 20, 50}) {
                INFO(static_cast<int>(grid) << name_of(spacing) << count);
                const auto steps =
                    noise_levels(schedule, {.grid = grid, .spacing = spacing, .steps = count});
                REQUIRE(static_cast<int64_t>(steps.size()) == count);
                for (const NoiseStep& step : steps) {
                    CHECK(step.from.alpha * step.from.alpha + step.from.sigma * step.from.sigma ==
                          Approx(1).margin(1e-6));
                    // DEIS and PNDM may end where the last spread level is.
                    CHECK(step.to.sigma < step.from.sigma + 1e-6);
                    CHECK(step.from.t >= 0);
                    CHECK(step.from.t < 1000);
                }
                if (grid == Grid::pndm || grid == Grid::deis)
                    continue;  // end at the least level of the schedule
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
    CHECK_THROWS_AS(config_of(R"({"use_karras_sigmas": true, "use_beta_sigmas": true})"), Error);
    CHECK_THROWS_AS(config_of(R"({"solver_order": 4})"), Error);
    CHECK_THROWS_AS(config_of(R"({"predict_x0": false})"), Error);
    CHECK_THROWS_AS(config_of(R"({"thresholding": true})"), Error);
    CHECK_THROWS_AS(config_of(R"({"num_train_timesteps": 0})"), Error);
    CHECK_THROWS_AS(config_of(R"({"beta_end": 7})"), Error);
    CHECK_THROWS_AS(config_of(R"({"_class_name": "EDMEulerScheduler"})"), Error);
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
    for (const Prediction kind :
         {Prediction::epsilon, Prediction::v, Prediction::sample, Prediction::flow}) {
        const torch::Tensor said = target_of(kind, x0, noise, level);
        CHECK(torch::allclose(to_x0(kind, said, x, level), x0, 1e-4, 1e-5));
        CHECK(torch::allclose(to_noise(kind, said, x, level), noise, 1e-4, 1e-5));
        CHECK(torch::allclose(output_of(kind, x0, x, level), said, 1e-4, 1e-5));
    }
}

TEST_CASE("the solver's variant is read from the scheduler's config") {
    const ScheduleConfig config = config_of(R"({"solver_order": 3, "solver_type": "bh1",
        "lower_order_final": false, "disable_corrector": [1, 4], "skip_prk_steps": true,
        "use_exponential_sigmas": true, "sigma_min": 0.1, "variance_type": "fixed_large"})");
    CHECK(config.solver.order == 3);
    CHECK(config.solver.unipc == SolverConfig::UniPc::bh1);
    CHECK_FALSE(config.solver.lower_order_final);
    CHECK(config.solver.disable_corrector == std::vector<int64_t>{1, 4});
    CHECK(config.solver.skip_prk_steps);
    CHECK(config.solver.variance == SolverConfig::DdpmVariance::fixed_large);
    CHECK(config.ratio_spacing == Spacing::exponential);
    CHECK(config.sigma_min == 0.1);
    CHECK(config.clip_is_default);
}

TEST_CASE("beta quantiles are those of scipy") {
    CHECK(beta_quantile(0, 0.6) == 0);
    CHECK(beta_quantile(1, 0.6) == 1);
    CHECK(beta_quantile(0.5, 0.6) == Approx(0.5).epsilon(1e-12));
    CHECK(beta_quantile(0.1, 0.6) == Approx(0.03958440558878085).epsilon(1e-10));
    CHECK(beta_quantile(0.83, 0.6) == Approx(0.905519170448449).epsilon(1e-10));
    CHECK(beta_quantile(0.37, 2.5) == Approx(0.42249592913418865).epsilon(1e-10));
}

TEST_CASE("Align Your Steps is its table at ten steps and in between otherwise") {
    const auto ten = align_your_steps(AysTable::sd1, 10);
    CHECK(ten.front() == Approx(14.615));
    CHECK(ten[5] == Approx(1.396));
    CHECK(ten.back() == Approx(0.152));
    const auto twenty = align_your_steps(AysTable::sdxl, 20);
    CHECK(twenty[1] == Approx(std::sqrt(14.615 * 6.315)));
    CHECK(twenty[2] == Approx(6.315));
}

TEST_CASE("flow levels go straight, shifted towards noise") {
    ScheduleConfig config;
    config.flow = FlowShift{.shift = 3};
    config.prediction = Prediction::flow;
    const Schedule schedule(config);
    for (const Grid grid : {Grid::ddim, Grid::euler, Grid::dpm, Grid::unipc, Grid::flow})
        for (const int64_t count : {1, 7, 50}) {
            INFO(static_cast<int>(grid) << " " << count);
            const auto steps =
                noise_levels(schedule, {.grid = grid, .spacing = {}, .steps = count});
            REQUIRE(static_cast<int64_t>(steps.size()) == count);
            for (const NoiseStep& step : steps) {
                CHECK(step.from.alpha + step.from.sigma == Approx(1).margin(1e-12));
                CHECK(step.to.sigma < step.from.sigma);
                CHECK(std::abs(step.from.t - 1000 * step.from.sigma) < 1);
            }
            CHECK(steps.front().from.sigma > 0.99);
            CHECK(steps.back().to.sigma == 0);
        }
    config.flow->dynamic = true;
    const Schedule dynamic(config);
    CHECK_THROWS_AS(noise_levels(dynamic, {.grid = Grid::flow}), UsageError);
    auto middle = [&](int64_t tokens) {
        return noise_levels(dynamic, {.grid = Grid::flow, .steps = 9, .image_tokens = tokens})[4]
            .from.sigma;
    };
    CHECK(middle(4096) > middle(256));
    CHECK_THROWS_AS(noise_levels(schedule, {.grid = Grid::flow, .spacing = Spacing::trailing}),
                    UsageError);
}

TEST_CASE("a level is found by its ratio") {
    for (const Schedule& schedule : {Schedule(), [] {
                                         ScheduleConfig config;
                                         config.flow = FlowShift{};
                                         return Schedule(config);
                                     }()})
        for (const double t : {1.0, 300.0, 998.0}) {
            const NoiseLevel level = schedule.level(static_cast<int64_t>(t));
            const NoiseLevel found = schedule.level_at_ratio(level.ratio());
            CHECK(found.alpha == Approx(level.alpha).epsilon(1e-5));
            CHECK(found.sigma == Approx(level.sigma).epsilon(1e-5));
            CHECK(found.t == Approx(t).margin(0.01));
        }
}
