#include "diffusion/train/layer.h"

#include <algorithm>
#include <cmath>

namespace weft {

torch::Tensor Layer::number(const std::function<double(const Scene&)>& value) const {
    std::vector<double> values(scenes.size());
    std::transform(scenes.begin(), scenes.end(), values.begin(), value);
    return column_of(values, device());
}

torch::Tensor Layer::drawn(uint64_t part, double low, double high) const {
    return number([&](const Scene& scene) { return dice(scene, part).uniform(low, high); });
}

torch::Tensor Layer::chance(uint64_t part, double probability) const {
    return number(
        [&](const Scene& scene) { return dice(scene, part).chance(probability) ? 1.0 : 0.0; });
}

torch::Tensor Layer::colour(const std::function<Rgb(const Scene&)>& value) const {
    std::vector<float> values;
    for (const auto& scene : scenes) {
        const auto rgb = value(scene);
        values.insert(values.end(), rgb.begin(), rgb.end());
    }
    return torch::tensor(values, torch::kFloat32).view({-1, 3, 1, 1}).to(device());
}

torch::Tensor Layer::texture(uint64_t part, const FractalShape& shape) const {
    std::vector<uint64_t> seeds;
    for (const auto& scene : scenes) {
        seeds.push_back(dice(scene, part).next());
    }
    return fractal(seeds, canvas.picture.size(2), canvas.picture.size(3), shape, device());
}

torch::Tensor Layer::line(uint64_t part, double bumps, bool ridged) const {
    auto sum = torch::zeros_like(canvas.x);
    double amplitude = 0.6;
    for (uint64_t octave = 0; octave < 5; ++octave) {
        const auto phase = drawn(part * 31 + octave, 0, 2 * M_PI);
        const auto wave = (canvas.x * (2 * M_PI * bumps) + phase).sin();
        sum.add_(ridged ? 1 - 2 * wave.abs() : wave, amplitude);
        amplitude *= ridged ? 0.5 : 0.4;
        bumps *= 2.17;
    }
    return sum;
}

torch::Tensor Layer::below(const torch::Tensor& height) const {
    return inside(height - canvas.y);
}

torch::Tensor Layer::inside(const torch::Tensor& distance) const {
    return (0.5 - distance / canvas.px).clamp_(0, 1);
}

void Layer::blend(const torch::Tensor& colour, const torch::Tensor& alpha) {
    canvas.picture = canvas.picture + (colour - canvas.picture) * alpha;
}

Rgb varied(const Rgb& rgb, double deviation, Dice& dice) {
    Rgb result = rgb;
    for (auto& value : result) {
        value = std::clamp(value + deviation * dice.normal(), 0.0, 1.0);
    }
    return result;
}

}  // namespace weft
