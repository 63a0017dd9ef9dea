#include "diffusion/samplers.h"

#include <catch2/catch.hpp>

#include <cmath>

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
    return torch::randn(shape, at::make_generator<at::CPUGeneratorImpl>(uint64_t{7}),
                        torch::TensorOptions());
}

// Steps even in log(sigma / alpha), away from the ends where every sampler is exact.
std::vector<NoiseStep> even_steps(int count) {
    auto level = [](double log_ratio) {
        const double alpha = 1 / std::hypot(1.0, std::exp(log_ratio));
        return NoiseLevel{.alpha = alpha, .sigma = std::exp(log_ratio) * alpha, .t = 0};
    };
    std::vector<NoiseStep> steps;
    for (int i = 0; i < count; ++i)
        steps.push_back({level(2.0 - 5.0 * i / count), level(2.0 - 5.0 * (i + 1) / count)});
    return steps;
}

double error_at(const Sampler& sampler, int count) {
    const torch::Tensor x = test_noise({1, 1, 4, 4});
    const std::vector<NoiseStep> steps = even_steps(count);
    const torch::Tensor end = sample(sampler, gaussian_denoise, x, steps);
    const torch::Tensor exact = exact_end(x, steps.front().from, steps.back().to);
    return (end - exact).abs().max().item<double>();
}

double order_of(const std::string& name) {
    return name == "dpmpp_2m" ? 2 : 1;
}

}  // namespace

TEST_CASE("every sampler converges to the flow's end with its order") {
    for (const Sampler& sampler : samplers()) {
        INFO(sampler.name);
        const double coarse = error_at(sampler, 20);
        const double fine = error_at(sampler, 40);
        CHECK(fine < 0.04);
        CHECK(std::log2(coarse / fine) > order_of(sampler.name) - 0.3);
    }
}

TEST_CASE("every sampler ends at the mean of a denoiser that knows the picture") {
    const torch::Tensor picture = test_noise({2, 4, 3, 5});
    const Denoise oracle = [&](const torch::Tensor&, const NoiseLevel&) { return picture; };
    for (const Sampler& sampler : samplers())
        for (const int64_t count : {1, 3, 20}) {
            INFO(sampler.name << " " << count);
            const auto steps =
                noise_levels(Schedule(), {.grid = sampler.grid, .spacing = {}, .steps = count});
            const torch::Tensor end =
                sample(sampler, oracle, test_noise({2, 4, 3, 5}) * 0.5, steps);
            CHECK(torch::allclose(end, picture, 1e-4, 1e-4));
        }
}

TEST_CASE("no steps leave x as it is, and runs repeat bit by bit") {
    const torch::Tensor x = test_noise({1, 4, 3, 5});
    for (const Sampler& sampler : samplers()) {
        INFO(sampler.name);
        CHECK(torch::equal(sample(sampler, gaussian_denoise, x, {}), x));
        const auto none = noise_levels(
            Schedule(), {.grid = sampler.grid, .spacing = {}, .steps = 20, .strength = 0});
        CHECK(none.empty());
        const auto steps = even_steps(6);
        CHECK(torch::equal(sample(sampler, gaussian_denoise, x, steps),
                           sample(sampler, gaussian_denoise, x, steps)));
    }
}

TEST_CASE("samplers report each step and call the network once a step") {
    for (const Sampler& sampler : samplers()) {
        INFO(sampler.name);
        int calls = 0;
        std::vector<int64_t> seen;
        SamplerOptions options;
        options.on_step = [&](int64_t step, const torch::Tensor&) { seen.push_back(step); };
        const Denoise counting = [&](const torch::Tensor& x, const NoiseLevel& level) {
            ++calls;
            return gaussian_denoise(x, level);
        };
        sample(sampler, counting, test_noise({1, 1, 2, 2}), even_steps(4), options);
        CHECK(calls == 4);
        CHECK(seen == std::vector<int64_t>{0, 1, 2, 3});
    }
}

TEST_CASE("ddim with eta keeps the variance of its level") {
    SamplerOptions options;
    options.eta = 1;
    auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{3});
    options.noise = [&](int64_t) {
        return torch::randn({1, 1, 256, 256}, generator, torch::TensorOptions());
    };
    const torch::Tensor x = torch::randn({1, 1, 256, 256}, generator, torch::TensorOptions());
    ScheduleConfig config;
    config.prediction = Prediction::v;
    config.zero_terminal_snr = true;
    const Schedule schedule(config);
    const auto steps =
        noise_levels(schedule, {.grid = Grid::ddim, .spacing = Spacing::trailing, .steps = 200});
    const torch::Tensor end = sample(sampler_named("ddim"), gaussian_denoise, x, steps, options);
    CHECK(end.mean().item<double>() == Approx(mean).margin(0.02));
    CHECK(end.std().item<double>() == Approx(spread).epsilon(0.03));
}

TEST_CASE("an unknown sampler is told with the known ones") {
    CHECK_THROWS_AS(sampler_named("nope"), UsageError);
    CHECK_THROWS_WITH(sampler_named("nope"), Catch::Contains("dpmpp_2m"));
}
