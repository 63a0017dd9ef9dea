#include <algorithm>
#include <map>

#include "diffusion/train/backdrop.h"
#include "diffusion/train/pixels.h"
#include "diffusion/train/scenes.h"

namespace weft {
namespace {

using torch::Tensor;

std::vector<double> numbers(const std::vector<Scene>& scenes, double (*value)(const Scene&)) {
    std::vector<double> values(scenes.size());
    std::transform(scenes.begin(), scenes.end(), values.begin(), value);
    return values;
}

Canvas empty_canvas(const std::vector<Scene>& scenes, int64_t height, int64_t width,
                    const torch::Device& device) {
    const auto column = [&](double (*value)(const Scene&)) {
        return column_of(numbers(scenes, value), device);
    };
    const auto options = torch::TensorOptions(torch::kFloat32).device(device);
    const auto at = [&](int64_t size) {
        return (torch::arange(size, options) + 0.5) / static_cast<double>(height);
    };
    const auto zoom = column([](const Scene& scene) { return scene.zoom; });
    return {torch::zeros({static_cast<int64_t>(scenes.size()), 3, height, width}, options),
            column([](const Scene& scene) { return scene.shift_x; }) +
                zoom * at(width).view({1, 1, 1, -1}),
            column([](const Scene& scene) { return scene.shift_y; }) +
                zoom * at(height).view({1, 1, -1, 1}),
            zoom / static_cast<double>(height)};
}

/// Paints the k-th member of each scene's list for all k, those of one kind together.
void paint_lists(Canvas& canvas, const std::vector<Scene>& scenes,
                 std::vector<Thing> Scene::*list) {
    size_t longest = 0;
    for (const auto& scene : scenes) {
        longest = std::max(longest, (scene.*list).size());
    }
    for (size_t k = 0; k < longest; ++k) {
        std::map<Kind, std::pair<std::vector<int64_t>, std::vector<Thing>>> groups;
        for (size_t i = 0; i < scenes.size(); ++i) {
            if (k < (scenes[i].*list).size()) {
                const auto& thing = (scenes[i].*list)[k];
                groups[thing.kind].first.push_back(static_cast<int64_t>(i));
                groups[thing.kind].second.push_back(thing);
            }
        }
        for (const auto& [kind, group] : groups) {
            const auto rows = torch::tensor(group.first, torch::kInt64).to(canvas.picture.device());
            auto part = canvas.chosen(rows);
            paint_things(part, group.second,
                         kind == Kind::balloon || kind == Kind::building ? 0.0 : 0.35);
            canvas.paste(rows, part);
        }
    }
}

/// Blurs each picture by its own sigma, given in 1/1000 of the height.
void blur_each(Tensor& pictures, const std::vector<Scene>& scenes, double Lens::*amount) {
    for (size_t i = 0; i < scenes.size(); ++i) {
        const double sigma_px =
            scenes[i].lens.*amount / 1000 / scenes[i].zoom * static_cast<double>(pictures.size(2));
        if (sigma_px >= 0.3) {
            auto picture = pictures.narrow(0, static_cast<int64_t>(i), 1);
            picture.copy_(blurred(picture, std::min(sigma_px, 12.0)));
        }
    }
}

/// Exposure, contrast, saturation, colour of the light, vignette.
Tensor graded(const Tensor& pictures, const std::vector<Scene>& scenes) {
    const auto column = [&](double (*value)(const Scene&)) {
        return column_of(numbers(scenes, value), pictures.device());
    };
    const auto red = column([](const Scene& scene) { return scene.lens.cast[0]; });
    const auto green = column([](const Scene& scene) { return scene.lens.cast[1]; });
    const auto blue = column([](const Scene& scene) { return scene.lens.cast[2]; });
    const auto grey = luma(pictures);
    auto graded =
        grey + (pictures - grey) * column([](const Scene& scene) { return scene.lens.saturation; });
    graded = (graded - 0.5) * column([](const Scene& scene) { return scene.lens.contrast; }) + 0.5;
    graded = graded * torch::cat({red, green, blue}, 1) *
             column([](const Scene& scene) { return scene.lens.exposure; });
    const auto options = pictures.options();
    const auto v = torch::linspace(-1, 1, pictures.size(2), options).view({1, 1, -1, 1});
    const auto u = torch::linspace(-1, 1, pictures.size(3), options).view({1, 1, 1, -1});
    const auto corner = (u.square() + v.square()) * 0.5;
    return graded.mul_(1 - corner * column([](const Scene& scene) { return scene.lens.vignette; }))
        .clamp_(0, 1);
}

}  // namespace

torch::Tensor draw_scenes(const std::vector<Scene>& scenes, int64_t height, int64_t width,
                          const torch::Device& device) {
    auto canvas = empty_canvas(scenes, height, width, device);
    paint_backdrop(canvas, scenes);
    paint_lists(canvas, scenes, &Scene::decor);
    blur_each(canvas.picture, scenes, &Lens::depth);
    paint_lists(canvas, scenes, &Scene::things);
    blur_each(canvas.picture, scenes, &Lens::blur);
    return graded(canvas.picture, scenes);
}

torch::Tensor camera_noise(const torch::Tensor& pictures, const std::vector<Scene>& scenes) {
    std::vector<uint64_t> seeds(scenes.size());
    std::transform(scenes.begin(), scenes.end(), seeds.begin(),
                   [](const Scene& scene) { return scene.seed ^ 0x6e6f697365ULL; });
    const int64_t height = pictures.size(2);
    const int64_t width = pictures.size(3);
    // Block means of strong compression.
    const auto blocks = column_of(
        numbers(scenes, [](const Scene& scene) { return scene.lens.blocks; }), pictures.device());
    const auto means = at::avg_pool2d(pictures, {8, 8}, {8, 8}, {0, 0}, /*ceil_mode=*/true)
                           .repeat_interleave(8, 2)
                           .repeat_interleave(8, 3)
                           .narrow(2, 0, height)
                           .narrow(3, 0, width);
    const auto blocked = pictures + (means - pictures) * blocks;
    // The sum of two uniform draws is close enough to a normal one; grain is mostly in the luma.
    const auto draws = hashed(seeds, 4, height, width, pictures.device()) - 0.5;
    const auto grain = draws.narrow(1, 0, 1) * 2.0 + draws.narrow(1, 1, 3) * 2.0;
    const auto noise = column_of(
        numbers(scenes, [](const Scene& scene) { return scene.lens.noise; }), pictures.device());
    return (blocked + grain * noise).clamp_(0, 1);
}

}  // namespace weft
