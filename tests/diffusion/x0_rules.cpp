#include "diffusion/x0_rules.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "temporal/noise.h"

namespace weft {
namespace {

double difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().max().item<double>();
}

// Ten steps on a cosine path.
std::vector<NoiseStep> ten_steps() {
    const auto level = [](int i) {
        const double angle = 0.14 * i + 0.01;
        return NoiseLevel{.alpha = std::cos(angle), .sigma = std::sin(angle), .t = 100.0 * i};
    };
    std::vector<NoiseStep> steps;
    for (int i = 10; i > 0; --i) steps.push_back({level(i), level(i - 1)});
    return steps;
}

const std::vector<NoiseStep> steps = ten_steps();

// A network that answers with a part of what it sees, so that the noise it implies is not x0's.
torch::Tensor plain(const torch::Tensor& x, const NoiseLevel& level) {
    return 0.7 * x + 0.1 * level.alpha;
}

torch::Tensor frames(uint64_t seed, int64_t n = 3) {
    return normal_noise({.seed = seed}, {n, 4, 6, 8});
}

// The steps of the run at which a rule changes the estimate.
std::vector<size_t> active(const Denoise& rule) {
    std::vector<size_t> found;
    for (size_t i = 0; i < steps.size(); ++i) {
        const torch::Tensor x = frames(1);
        if (difference(rule(x, steps[i].from), plain(x, steps[i].from)) > 1e-4)
            found.push_back(i);
    }
    return found;
}

torch::Tensor mean_of(const torch::Tensor& x) {
    return x.mean(at::IntArrayRef{2, 3});
}

torch::Tensor spread_of(const torch::Tensor& x) {
    return x.std(at::IntArrayRef{2, 3}, /*unbiased=*/false);
}

}  // namespace

TEST_CASE("a clock tells in which step a level lies", "[x0]") {
    const StepClock clock(steps);
    CHECK(clock.step_at(steps[0].from) == 0);
    CHECK(clock.step_at(steps[3].from) == 3);
    CHECK(clock.step_at({.alpha = 1, .sigma = 0, .t = 651}) == 3);  // inside step 3
    CHECK(clock.step_at({.alpha = 0, .sigma = 1, .t = 2000}) == 0);
    CHECK(clock.step_at({.alpha = 1, .sigma = 0, .t = -1}) == 9);
    CHECK(clock.within({0, 0.1}, steps[0].from));
    CHECK_FALSE(clock.within({0, 0.1}, steps[1].from));
    CHECK(clock.within({0.5, 0.8}, steps[5].from));
    CHECK(clock.within({0.5, 0.8}, steps[7].from));
    CHECK_FALSE(clock.within({0.5, 0.8}, steps[8].from));
    CHECK_FALSE(clock.within({0.5, 0.5}, steps[5].from));
    CHECK(clock.within({0.8, 1}, steps[9].from));
}

TEST_CASE("outside a mask a run walks down the source's own noise", "[x0]") {
    const torch::Tensor source = frames(3);
    const torch::Tensor noise = frames(4);
    torch::Tensor mask = torch::zeros({3, 1, 6, 8});
    mask.slice(3, 4).fill_(1);
    mask[2].fill_(0);
    const Denoise rule = kept_outside(plain, source, mask);
    torch::Tensor x = add_noise(source, noise, steps[0].from);
    torch::Tensor free = x;
    for (const auto& [from, to] : steps) {
        const auto next = [&, from = from, to = to](const torch::Tensor& now,
                                                    const torch::Tensor& x0) {
            return to.alpha * x0 + to.sigma * (now - from.alpha * x0) / from.sigma;
        };
        x = next(x, rule(x, from));
        free = next(free, plain(free, from));
        const torch::Tensor walked = add_noise(source, noise, to);
        CHECK(difference(x.slice(3, 0, 4), walked.slice(3, 0, 4)) < 1e-4);
        CHECK(difference(x[2], walked[2]) < 1e-4);
        CHECK(difference(x.slice(0, 0, 2).slice(3, 4), free.slice(0, 0, 2).slice(3, 4)) < 1e-6);
    }
}

TEST_CASE("shapes are pulled to the reference under the mask, in the first steps", "[x0]") {
    const torch::Tensor x = frames(1);
    torch::Tensor mask = torch::zeros({3, 1, 6, 8});
    mask[1].slice(1, 0, 3).fill_(1);
    mask[2].fill_(0.25);
    // Rows 1 and 2 follow row 0, moved by one column.
    const auto pull = [](const torch::Tensor& x0) {
        return x0.narrow(0, 0, 1).expand_as(x0).roll(1, 3);
    };
    const torch::Tensor before = plain(x, steps[0].from);
    const torch::Tensor after =
        shapes_fused(plain, {.pull = pull, .mask = mask}, steps)(x, steps[0].from);
    const torch::Tensor moved = before[0].roll(1, 2);
    CHECK(after[0].equal(before[0]));
    CHECK(difference(after[1].slice(1, 0, 3), moved.slice(1, 0, 3)) < 1e-6);
    CHECK(after[1].slice(1, 3).equal(before[1].slice(1, 3)));
    CHECK(difference(after[2], 0.75 * before[2] + 0.25 * moved) < 1e-6);

    CHECK(active(shapes_fused(plain, {.pull = pull, .mask = mask}, steps)) ==
          std::vector<size_t>{0});
    CHECK(active(shapes_fused(plain, {.pull = pull, .mask = mask, .range = {0.2, 0.4}}, steps)) ==
          std::vector<size_t>{2, 3});
    CHECK(active(shapes_fused(plain, {.pull = pull, .mask = mask * 0, .range = {0, 1}}, steps))
              .empty());
}

TEST_CASE("colours take the anchor's mean and deviation, in the last steps", "[x0]") {
    const torch::Tensor x = frames(1) * torch::tensor({1., 2., 3.}).view({3, 1, 1, 1});
    const torch::Tensor before = plain(x, steps[9].from);
    const auto styled = [&](double strength) {
        return styled_as_anchor(plain, {.anchors = torch::tensor({0, 0, 2}), .strength = strength},
                                steps)(x, steps[9].from);
    };
    const torch::Tensor after = styled(1);
    CHECK(difference(mean_of(after[1].unsqueeze(0)), mean_of(before.narrow(0, 0, 1))) < 1e-5);
    CHECK(difference(spread_of(after[1].unsqueeze(0)), spread_of(before.narrow(0, 0, 1))) < 1e-5);
    CHECK(difference(after[0], before[0]) < 1e-5);
    CHECK(difference(after[2], before[2]) < 1e-5);
    CHECK(styled(0).equal(before));
    CHECK(difference(styled(0.5)[1], 0.5 * (before[1] + after[1])) < 1e-5);
    // It is a change of scale and place alone.
    CHECK(difference(with_statistics_of(before, after)[1], before[1]) < 1e-4);

    CHECK(active(styled_as_anchor(plain, {.anchors = torch::tensor({1, 1, 1})}, steps)) ==
          std::vector<size_t>{8, 9});
}

TEST_CASE("a flat channel takes the anchor's mean and stays finite", "[x0]") {
    const torch::Tensor flat = torch::full({1, 1, 4, 4}, 3.0);
    const torch::Tensor like = normal_noise({.seed = 3}, {1, 1, 4, 4});
    CHECK(difference(with_statistics_of(like, flat), like.mean().expand_as(flat)) < 1e-5);
}

TEST_CASE("pixels are fused as a rule on x, with samplers of first order", "[x0]") {
    const std::string name = GENERATE("ddim", "euler");
    const torch::Tensor target = frames(5), fresh = frames(6);
    torch::Tensor weight = torch::full({1, 1, 6, 8}, 0.5);
    weight.slice(3, 4).fill_(0);  // the right half does not know the target
    const double inner = 0.9;
    const Denoise rule = pixels_fused(plain,
                                      {.target = target,
                                       .weight = weight,
                                       .noise = [&](int64_t step) { return fresh + step; },
                                       .inner = inner},
                                      steps);
    const NoiseStep step = steps[6];
    const torch::Tensor x = frames(1);
    const std::vector<NoiseStep> one = {step};
    const torch::Tensor next = sample(sampler_named(name), rule, x, one);

    const torch::Tensor x0 = plain(x, step.from);
    const torch::Tensor e = (x - step.from.alpha * x0) / step.from.sigma;
    const auto expected = [&](double w, double r) {
        return step.to.alpha * (w * target + (1 - w) * x0) +
               step.to.sigma * (w * (fresh + 6) + r * e);
    };
    const auto columns = [](const torch::Tensor& t, int64_t first, int64_t last) {
        return t.slice(3, first, last);
    };
    const double r = inner * std::sqrt(0.75);
    CHECK(difference(columns(next, 0, 3), columns(expected(0.5, r), 0, 3)) < 1e-5);
    CHECK(difference(columns(next, 3, 4), columns(expected(0.5, 0.5), 3, 4)) < 1e-5);  // border
    CHECK(difference(columns(next, 4, 8), columns(expected(0, 1), 4, 8)) < 1e-5);
}

TEST_CASE("pixel fusion keeps to its range and to its weight", "[x0]") {
    PixelFusion fusion{.target = frames(5),
                       .weight = torch::full({1, 1, 6, 8}, 0.5),
                       .noise = [](int64_t /*step*/) { return frames(6); }};
    CHECK(active(pixels_fused(plain, fusion, steps)) == std::vector<size_t>{5, 6, 7});
    fusion.weight = torch::zeros({1, 1, 6, 8});
    CHECK(active(pixels_fused(plain, fusion, steps)).empty());

    // A weight of 1 in the step that ends without noise gives the target itself.
    fusion.weight = torch::ones({1, 1, 6, 8});
    fusion.range = {0.9, 1};
    std::vector<NoiseStep> to_end = steps;
    to_end.back().to = {.alpha = 1, .sigma = 0, .t = 0};
    const Denoise rule = pixels_fused(plain, fusion, to_end);
    const torch::Tensor end = sample(sampler_named("ddim"), rule, frames(1), to_end);
    CHECK(difference(end, fusion.target) < 1e-5);
}

TEST_CASE("inner 1 keeps the variance of the noise", "[x0]") {
    // A network that knows x0: all that is left in x is unit noise.
    const torch::Tensor clean = torch::zeros({1, 4, 64, 64});
    const Denoise knows = [&](const torch::Tensor&, const NoiseLevel&) { return clean; };
    const NoiseStep step = steps[5];
    const Denoise rule = pixels_fused(knows,
                                      {.target = clean,
                                       .weight = torch::full({1, 1, 64, 64}, 0.6),
                                       .noise =
                                           [](int64_t) {
                                               return normal_noise({.seed = 8}, {1, 4, 64, 64});
                                           },
                                       .inner = 1},
                                      steps);
    const torch::Tensor x = step.from.sigma * normal_noise({.seed = 7}, {1, 4, 64, 64});
    const std::vector<NoiseStep> one = {step};
    const torch::Tensor next = sample(sampler_named("ddim"), rule, x, one);
    CHECK(next.std().item<double>() == Approx(step.to.sigma).epsilon(0.03));
}

TEST_CASE("faithful latents decode nearer to the picture", "[x0]") {
    // Loses a fifth of the contrast; what is lost twice, a twenty-fifth, stays lost.
    FaithfulEncoding by{.encode = [](const torch::Tensor& x) { return 0.8 * (2 * x - 1); },
                        .decode = [](const torch::Tensor& x) { return (x + 1) / 2; },
                        .most_error = 1};
    const torch::Tensor coarse = 0.5 + 0.15 * normal_noise({.seed = 4}, {2, 3, 8, 8});
    const torch::Tensor pictures = at::upsample_bicubic2d(coarse, {48, 64}, false).clamp(0, 1);
    CHECK(difference(by.decode(faithful_latents(by, pictures)),
                     pictures + 0.04 * (0.5 - pictures)) < 1e-6);
    // Where the decoder fails the encoding stays as it is.
    by.most_error = -1;
    CHECK(faithful_latents(by, pictures).equal(by.encode(pictures)));
    // An autoencoder without loss leaves nothing to correct.
    const FaithfulEncoding exact{.encode = [](const torch::Tensor& x) { return 2 * x - 1; },
                                 .decode = [](const torch::Tensor& x) { return (x + 1) / 2; }};
    CHECK(difference(faithful_latents(exact, pictures), 2 * pictures - 1) < 1e-6);
}

}  // namespace weft
