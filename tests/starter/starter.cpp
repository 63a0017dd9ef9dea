// The model that ships with weft, run as users run it, on a frame of the sample clip: does each
// style do what its name says? Bars are those of the model's own description: plain statistics of
// pictures.
#include <catch2/catch.hpp>
#include <filesystem>

#include "diffusion/model.h"
#include "diffusion/train/styles.h"
#include "io/media/reader.h"
#include "video/editor.h"
#include "video/job.h"

namespace weft {
namespace {

const std::filesystem::path root = WEFT_SOURCE_DIR;

const std::shared_ptr<const DiffusionModel>& starter() {
    static const auto model = DiffusionModel::load(root / "models/starter", {});
    return model;
}

/// The clip's frames 0 .. n-1, [n, 3, h, w].
torch::Tensor clip_frames(int64_t n) {
    auto source = open_video(root / "samples/clip.mp4");
    std::vector<torch::Tensor> frames;
    while (static_cast<int64_t>(frames.size()) < n) {
        frames.push_back(source->next().value().pixels);
    }
    return torch::stack(frames);
}

Job job_for(const Plan& plan, const torch::Tensor& frames) {
    StreamInfo info;
    info.height = frames.size(2);
    info.width = frames.size(3);
    return resolve(plan, info, starter()->traits());
}

/// All frames edited as the plan says, at half the usual size to be quick.
torch::Tensor edited(const torch::Tensor& frames, const std::string& prompt,
                     const std::string& noise = "fixed") {
    Plan plan;
    plan.prompt = Curve<std::string>::constant(prompt);
    plan.noise = noise;
    plan.size = "256x144";
    const Editor editor(starter(), job_for(plan, frames));
    std::vector<torch::Tensor> results;
    for (int64_t i = 0; i < frames.size(0); ++i) {
        results.push_back(
            editor.render({frames.narrow(0, i, 1), {i}, {static_cast<double>(i) / 25}}));
    }
    return torch::cat(results);
}

double brightness(const torch::Tensor& pictures) {
    return pictures.mean().item<double>();
}

/// Mean of (max - min) over the channels.
double colourfulness(const torch::Tensor& pictures) {
    return (pictures.amax(1) - pictures.amin(1)).mean().item<double>();
}

double channel(const torch::Tensor& pictures, int64_t c) {
    return pictures.select(1, c).mean().item<double>();
}

/// Mean absolute difference of neighbouring frames.
double flicker(const torch::Tensor& frames) {
    return (frames.narrow(0, 1, frames.size(0) - 1) - frames.narrow(0, 0, frames.size(0) - 1))
        .abs()
        .mean()
        .item<double>();
}

torch::Tensor edge_map(const torch::Tensor& pictures) {
    const torch::Tensor grey = torch::avg_pool2d(pictures.mean(1, true), 4);
    const torch::Tensor dx = grey.diff(1, 3).narrow(2, 0, grey.size(2) - 1);
    const torch::Tensor dy = grey.diff(1, 2).narrow(3, 0, grey.size(3) - 1);
    return (dx.square() + dy.square()).sqrt().flatten();
}

double correlation(const torch::Tensor& a, const torch::Tensor& b) {
    const torch::Tensor x = a - a.mean(), y = b - b.mean();
    return ((x * y).mean() / (x.square().mean() * y.square().mean()).sqrt()).item<double>();
}

}  // namespace

TEST_CASE("starter styles do what their names say", "[starter]") {
    const torch::Tensor source = clip_frames(1);
    const double light = brightness(source), colour = colourfulness(source);

    const torch::Tensor pencil = edited(source, "pencil sketch");
    CHECK(colourfulness(pencil) < 0.35 * colour);
    CHECK(colourfulness(edited(source, "black and white")) < 0.35 * colour);

    const torch::Tensor night = edited(source, "night");
    CHECK(brightness(night) < 0.6 * light);
    CHECK(channel(night, 2) > channel(night, 0));

    CHECK(brightness(edited(source, "neon")) < 0.75 * light);
    const torch::Tensor snow = edited(source, "winter snow");
    CHECK(brightness(snow) > light);
    CHECK(colourfulness(snow) < colour);
    const torch::Tensor sunset = edited(source, "sunset");
    CHECK(channel(sunset, 0) - channel(sunset, 2) > channel(source, 0) - channel(source, 2));
}

TEST_CASE("starter keeps the scene", "[starter]") {
    const torch::Tensor source = clip_frames(1);
    for (const char* prompt : {"watercolor painting", "oil painting", "winter snow", "night"}) {
        INFO(prompt);
        CHECK(correlation(edge_map(edited(source, prompt)), edge_map(source)) > 0.3);
    }
    // No words: no change beyond what the autoencoder costs.
    CHECK((edited(source, "") - source).abs().mean().item<double>() < 0.06);
}

TEST_CASE("starter draws things in the colour that the text names", "[starter]") {
    using Named = bool (*)(double red, double green, double blue);
    const Named red = [](double r, double g, double b) { return r > g + 0.15 && r > b + 0.15; };
    const Named green = [](double r, double g, double b) { return g > r + 0.1 && g > b + 0.1; };
    const Named blue = [](double r, double, double b) { return b > r + 0.15; };
    const Named yellow = [](double r, double g, double b) { return std::min(r, g) > b + 0.2; };
    const std::vector<std::pair<std::string, Named>> cases = {
        {"a red ball", red},
        {"a red heart on a white background", red},
        {"a red box on a blue background", red},
        {"a blue box on a white background", blue},
        {"a blue ball on a yellow background", blue},
        {"a green box in a room", green},
        {"a green box on a white background", green},
        {"a yellow star on a black background", yellow},
        {"a yellow ball on a blue background", yellow}};
    int right = 0;
    std::string found;
    for (const auto& [prompt, has_colour] : cases) {
        Plan plan;
        plan.prompt = Curve<std::string>::constant(prompt);
        plan.size = "128x128";
        plan.steps = 12;
        plan.guidance = 3;
        const Job job = job_for(plan, torch::zeros({1, 3, 128, 128}));
        const std::vector<int64_t> index{0};
        const auto middle =
            generate(*starter(), job, index)[0].narrow(1, 44, 40).narrow(2, 44, 40).mean({1, 2});
        const auto value = [&](int64_t c) { return middle[c].item<double>(); };
        const bool fits = has_colour(value(0), value(1), value(2));
        right += fits ? 1 : 0;
        found += prompt + (fits ? ": right\n" : ": wrong\n");
    }
    INFO(found);
    CHECK(right >= 7);
}

TEST_CASE("fixed noise flickers less than independent noise on a static shot", "[starter]") {
    const torch::Tensor shot = clip_frames(1).expand({4, -1, -1, -1}).contiguous();
    const double fixed = flicker(edited(shot, "watercolor painting", "fixed"));
    const double independent = flicker(edited(shot, "watercolor painting", "independent"));
    INFO("fixed " << fixed << " independent " << independent);
    CHECK(fixed < 1e-4);
    CHECK(independent > 10 * fixed);
    CHECK(independent > 0.001);
}

}  // namespace weft
