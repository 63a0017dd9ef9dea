#include "diffusion/samplers.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "diffusion/torch_noise.h"
#include "io/files/error.h"

using namespace weft;

namespace {

// Pixels are N(0.3, 0.7^2): the exact denoiser, and the exact end of the probability flow from x.
constexpr double mean = 0.3;
constexpr double spread = 0.7;

double deviation(const NoiseLevel& level) {
    return std::hypot(level.alpha * spread, level.sigma);
}

torch::Tensor gaussian_denoise(const torch::Tensor& x, const NoiseLevel& level) {
    const double gain = level.alpha * spread * spread / std::pow(deviation(level), 2);
    return (x - level.alpha * mean) * gain + mean;
}

torch::Tensor exact_end(const torch::Tensor& x, const NoiseLevel& from, const NoiseLevel& to) {
    return (x - from.alpha * mean) * (deviation(to) / deviation(from)) + to.alpha * mean;
}

torch::Tensor test_noise(at::IntArrayRef shape) {
    return TorchNoise(7).next(shape);
}

Schedule flow_schedule() {
    ScheduleConfig config;
    config.flow = FlowShift{};
    config.prediction = Prediction::flow;
    return Schedule(config);
}

Schedule schedule_for(const Sampler& sampler) {
    return sampler.grid == Grid::flow ? flow_schedule() : Schedule();
}

// Steps even in log(sigma / alpha) and in t, away from the ends where every sampler is exact; on a
// straight path for the samplers that need one.
std::vector<NoiseStep> even_steps(const Sampler& sampler, int count, double high, double low) {
    auto level = [&](double u) {
        const double ratio = std::exp(high + u * (low - high));
        const double whole = sampler.grid == Grid::flow ? 1 + ratio : std::hypot(1.0, ratio);
        return NoiseLevel{.alpha = 1 / whole, .sigma = ratio / whole, .t = 1000 * (1 - u)};
    };
    std::vector<NoiseStep> steps;
    for (int i = 0; i < count; ++i)
        steps.push_back({level(1.0 * i / count), level(1.0 * (i + 1) / count)});
    return steps;
}

double error_at(const Sampler& sampler, int count) {
    const torch::Tensor x = test_noise({1, 1, 4, 4});
    const std::vector<NoiseStep> steps = even_steps(sampler, count, 2, -2);
    SamplerOptions options;
    options.eta = 0;
    const torch::Tensor end = sample(sampler, gaussian_denoise, x, steps, options);
    const torch::Tensor exact = exact_end(x, steps.front().from, steps.back().to);
    return (end - exact).abs().max().item<double>();
}

SamplerOptions with_noise(const Sampler& sampler, const Schedule& schedule,
                          torch::IntArrayRef shape) {
    SamplerOptions options = sampler_options(sampler, schedule);
    options.clip.reset();
    options.noise = [noise = TorchNoise(3), shape = shape.vec()](int64_t) mutable {
        return noise.next(shape);
    };
    return options;
}

// Samplers whose fresh noise keeps the law of x at every step. TCD and LCM do so for networks that
// know the end only.
bool keeps_the_law(const Sampler& sampler) {
    return needs_noise(sampler, {}) && sampler.grid != Grid::lcm && sampler.grid != Grid::tcd;
}

}  // namespace

TEST_CASE("every sampler converges to the flow's end with its order") {
    for (const Sampler& sampler : samplers()) {
        if (sampler.order == 0)
            continue;
        const double coarse = error_at(sampler, 40);
        const double fine = error_at(sampler, 80);
        INFO(sampler.name << ": " << coarse << " -> " << fine);
        CHECK(fine < 0.02);
        CHECK(std::log2(coarse / fine) > sampler.order - 0.3);
    }
}

TEST_CASE("solvers of third order beat those of second, those beat the first") {
    const Sampler& sampler = sampler_named("dpmpp_2m");
    double last = 1;
    for (const int64_t order : {1, 2, 3}) {
        const torch::Tensor x = test_noise({1, 1, 4, 4});
        const auto steps = even_steps(sampler, 40, 2, -2);
        SamplerOptions options;
        options.solver.order = order;
        const torch::Tensor end = sample(sampler, gaussian_denoise, x, steps, options);
        const auto error =
            (end - exact_end(x, steps.front().from, steps.back().to)).abs().max().item<double>();
        INFO(order);
        CHECK(error < last / 2);
        last = error;
    }
}

TEST_CASE("every sampler ends at the mean of a denoiser that knows the picture") {
    const torch::Tensor picture = test_noise({2, 4, 3, 5});
    const Denoise oracle = [&](const torch::Tensor&, const NoiseLevel&) { return picture; };
    for (const Sampler& sampler : samplers())
        for (const int64_t count : {1, 3, 20}) {
            INFO(sampler.name << " " << count);
            const Schedule schedule = schedule_for(sampler);
            const bool own = sampler.grid == Grid::lcm || sampler.grid == Grid::tcd ||
                             sampler.grid == Grid::flow;
            const auto trailing = own ? std::nullopt : std::optional(Spacing::trailing);
            const auto steps =
                noise_levels(schedule, {.grid = sampler.grid, .spacing = trailing, .steps = count});
            const torch::Tensor end = sample(sampler, oracle, test_noise({2, 4, 3, 5}) * 0.5, steps,
                                             with_noise(sampler, schedule, {2, 4, 3, 5}));
            // PNDM, DEIS and TCD end a little before sigma 0.
            const NoiseLevel& last = steps.back().to;
            const auto rest = (end - picture * last.alpha).abs().max().item<double>();
            CHECK(rest <= 1e-3 + 5 * last.sigma);
        }
}

TEST_CASE("no steps leave x as it is, and runs repeat bit by bit") {
    const torch::Tensor x = test_noise({1, 4, 3, 5});
    for (const Sampler& sampler : samplers()) {
        INFO(sampler.name);
        CHECK(torch::equal(sample(sampler, gaussian_denoise, x, {}), x));
        const Schedule schedule = schedule_for(sampler);
        const auto none = noise_levels(
            schedule, {.grid = sampler.grid, .spacing = {}, .steps = 20, .strength = 0});
        CHECK(none.empty());
        const auto steps = even_steps(sampler, 6, 2, -2);
        const auto run = [&] {
            return sample(sampler, gaussian_denoise, x, steps,
                          with_noise(sampler, schedule, x.sizes()));
        };
        CHECK(torch::equal(run(), run()));
    }
}

TEST_CASE("samplers report each step, and call the network as often as they say") {
    for (const Sampler& sampler : samplers())
        for (const int64_t count : {1, 2, 5}) {
            INFO(sampler.name << " " << count);
            int64_t calls = 0;
            int64_t told = 0;
            std::vector<int64_t> seen;
            const Schedule schedule = schedule_for(sampler);
            SamplerOptions options = with_noise(sampler, schedule, {1, 1, 2, 2});
            options.on_step = [&](int64_t step, const torch::Tensor&) { seen.push_back(step); };
            options.on_call = [&](const torch::Tensor& x, const NoiseLevel&) {
                CHECK(x.isfinite().all().item<bool>());
                CHECK(++told == calls);
            };
            const Denoise counting = [&](const torch::Tensor& x, const NoiseLevel& level) {
                ++calls;
                return gaussian_denoise(x, level);
            };
            const auto steps =
                noise_levels(schedule, {.grid = sampler.grid, .spacing = {}, .steps = count});
            sample(sampler, counting, test_noise({1, 1, 2, 2}), steps, options);
            CHECK(calls == sampler.calls(count, options.solver));
            CHECK(static_cast<int64_t>(seen.size()) == count);
            CHECK(seen.back() == count - 1);
        }
}

TEST_CASE("stochastic samplers keep the mean and the variance of their level") {
    const std::vector<int64_t> shape{1, 1, 128, 128};
    for (const Sampler& sampler : samplers()) {
        if (!keeps_the_law(sampler))
            continue;
        INFO(sampler.name);
        const Schedule schedule;
        const auto steps = even_steps(sampler, 300, 3, -4);
        const NoiseLevel& first = steps.front().from;
        const torch::Tensor x = TorchNoise(11).next(shape) * deviation(first) + first.alpha * mean;
        SamplerOptions options = with_noise(sampler, schedule, shape);
        options.schedule = nullptr;
        const torch::Tensor end = sample(sampler, gaussian_denoise, x, steps, options);
        const NoiseLevel& last = steps.back().to;
        CHECK(end.mean().item<double>() == Approx(last.alpha * mean).margin(0.02));
        CHECK(end.std().item<double>() == Approx(deviation(last)).epsilon(0.02));
        // What comes out has forgotten where it came from, as the deterministic end has not.
        const torch::Tensor pair = torch::stack({x.flatten(), end.flatten()});
        CHECK(torch::corrcoef(pair)[0][1].item<double>() < 0.3);
    }
}

TEST_CASE("less eta keeps more of where x came from") {
    const std::vector<int64_t> shape{1, 1, 64, 64};
    const torch::Tensor x = TorchNoise(11).next(shape);
    for (const Sampler& sampler : samplers()) {
        if (!sampler.eta)
            continue;
        const bool tcd = sampler.grid == Grid::tcd;  // forgets all from 0.5 on
        double last = -1;
        for (const double eta : tcd ? std::vector{1.0, 0.0} : std::vector{1.0, 0.5, 0.0}) {
            SamplerOptions options = with_noise(sampler, Schedule(), shape);
            options.schedule = nullptr;
            options.eta = eta;
            const auto steps = even_steps(sampler, 30, 2, -2);
            const torch::Tensor end = sample(sampler, gaussian_denoise, x, steps, options);
            const auto kept =
                torch::corrcoef(torch::stack({x.flatten(), end.flatten()}))[0][1].item<double>();
            INFO(sampler.name << " " << eta);
            CHECK(kept > last + 0.05);
            last = kept;
        }
    }
}

TEST_CASE("the noise of dpmpp_sde is asked for in order, two draws a step") {
    const Sampler& sampler = sampler_named("dpmpp_sde");
    std::vector<int64_t> draws;
    SamplerOptions options;
    options.noise = [&](int64_t draw) {
        draws.push_back(draw);
        return torch::zeros({1, 1, 2, 2});
    };
    sample(sampler, gaussian_denoise, test_noise({1, 1, 2, 2}), even_steps(sampler, 3, 2, -2),
           options);
    CHECK(draws == std::vector<int64_t>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("ddim run backwards and forwards comes back") {
    const Schedule schedule;
    ScheduleConfig config;
    config.set_alpha_to_one = false;
    const auto steps = noise_levels(Schedule(config), {.grid = Grid::ddim, .steps = 200});
    const torch::Tensor x0 = test_noise({1, 1, 8, 8}) * spread + mean;
    const auto trajectory = invert_ddim(gaussian_denoise, x0, steps, Prediction::epsilon);
    REQUIRE(trajectory.size() == 200);
    CHECK(trajectory.back().std().item<double>() > 0.8);
    const torch::Tensor back =
        sample(sampler_named("ddim"), gaussian_denoise, trajectory.back(), steps);
    CHECK((back - x0).abs().max().item<double>() < 0.05);
}

TEST_CASE("what does not fit the kind of model is told") {
    const Schedule flow = flow_schedule();
    for (const char* name : {"pndm", "lcm", "tcd"})
        CHECK_THROWS_AS(noise_levels(flow, {.grid = sampler_named(name).grid}), UsageError);
    CHECK_THROWS_WITH(noise_levels(Schedule(), {.grid = Grid::flow}),
                      Catch::Contains("flow-matching models only"));
    CHECK_THROWS_AS(sampler_named("nope"), UsageError);
    CHECK_THROWS_WITH(sampler_named("nope"), Catch::Contains("dpmpp_2m"));
}

TEST_CASE("samplers over betas run flow models as well") {
    const torch::Tensor x = test_noise({1, 1, 4, 4});
    const Schedule schedule = flow_schedule();
    for (const Sampler& sampler : samplers()) {
        const bool betas =
            sampler.grid == Grid::pndm || sampler.grid == Grid::lcm || sampler.grid == Grid::tcd;
        if (betas || needs_noise(sampler, {}))
            continue;
        INFO(sampler.name);
        const auto steps = noise_levels(schedule, {.grid = sampler.grid, .steps = 100});
        const SamplerOptions options = with_noise(sampler, schedule, x.sizes());
        if (std::string(sampler.name) == "heun") {
            CHECK_THROWS_AS(sample(sampler, gaussian_denoise, x, steps, options), UsageError);
            continue;
        }
        const torch::Tensor end = sample(sampler, gaussian_denoise, x, steps, options);
        const torch::Tensor exact = exact_end(x, steps.front().from, {});
        CHECK((end - exact).abs().max().item<double>() < 0.1);
    }
}
