#include "diffusion/train/sheets.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/nn/functional/padding.h>

#include <algorithm>

#include "diffusion/samplers.h"
#include "diffusion/train/pairs.h"
#include "diffusion/train/styles.h"

namespace weft {
namespace {

const std::vector<std::string>& generation_prompts() {
    static const std::vector<std::string> prompts = {"a red ball",
                                                     "a blue car",
                                                     "a yellow star",
                                                     "a green tree",
                                                     "a pink heart",
                                                     "an orange fish",
                                                     "a white boat on the sea",
                                                     "a purple flower",
                                                     "a black box",
                                                     "a brown house",
                                                     "a red balloon under a blue sky",
                                                     "a blue ball on a white background",
                                                     "green hills under a blue sky",
                                                     "mountains at sunset",
                                                     "the sea under a night sky",
                                                     "a yellow house in a snowy field"};
    return prompts;
}

/// One noise field for all rows, as `--noise fixed` has it.
torch::Tensor shared_noise(uint64_t seed, std::vector<int64_t> shape, torch::Device device) {
    auto generator = at::detail::createCPUGenerator(seed);
    const int64_t n = std::exchange(shape.front(), 1);
    const torch::Tensor one = torch::randn(shape, generator, torch::kFloat32).to(device);
    shape.front() = n;
    return one.expand(shape).clone();
}

torch::Tensor run(const SheetModel& model, const Conditioning& conditioning,
                  const torch::Tensor& noise, int64_t steps) {
    const Sampler& sampler = sampler_named("ddim");
    const std::vector<NoiseStep> levels = noise_levels(
        model.schedule, {.grid = sampler.grid, .spacing = {}, .steps = steps, .strength = 1});
    const Denoise denoise =
        source_guided(model.network, model.schedule.config().prediction, conditioning);
    const torch::Tensor latents = sample(sampler, denoise, noise, levels);
    return ((model.autoencoder.decode(latents) + 1) / 2).clamp(0, 1).to(torch::kCPU);
}

torch::Tensor fit(const torch::Tensor& picture, int64_t multiple) {
    const int64_t h = picture.size(1) / multiple * multiple,
                  w = picture.size(2) / multiple * multiple;
    return picture.narrow(1, 0, h).narrow(2, 0, w);
}

}  // namespace

torch::Tensor contact_sheet(const std::vector<torch::Tensor>& cells, int64_t columns) {
    constexpr int64_t gap = 2;  // px
    TORCH_CHECK(!cells.empty() && columns > 0, "a contact sheet needs cells");
    int64_t h = 0, w = 0;  // of the largest cell
    for (const torch::Tensor& cell : cells) {
        h = std::max(h, cell.size(1) + gap);
        w = std::max(w, cell.size(2) + gap);
    }
    const int64_t rows = (static_cast<int64_t>(cells.size()) + columns - 1) / columns;
    torch::Tensor sheet = torch::ones({3, rows * h, columns * w});
    for (size_t i = 0; i < cells.size(); ++i) {
        const auto at = static_cast<int64_t>(i);
        sheet.narrow(1, at / columns * h, cells[i].size(1))
            .narrow(2, at % columns * w, cells[i].size(2))
            .copy_(cells[i]);
    }
    return sheet;
}

torch::Tensor edit_sheet(const SheetModel& model, const std::vector<torch::Tensor>& previews,
                         const Recipe& recipe) {
    std::vector<torch::Tensor> pictures = previews;
    if (pictures.empty()) {
        pictures = make_scenes({recipe.seed + 7, 0, 4}, 128, 192, torch::kCPU).unbind(0);
    }
    std::vector<std::string> texts = {""};
    for (const StyleEntry& style : styles()) {
        texts.push_back(style.name);
    }
    const torch::Tensor states = model.encode_text(texts);
    const torch::Tensor neutral = model.encode_text({""});
    std::vector<torch::Tensor> cells;
    for (const torch::Tensor& picture : pictures) {
        const torch::Tensor source = fit(picture, 32);
        cells.push_back(source);
        const torch::Tensor latents =
            model.autoencoder.encode(source.unsqueeze(0).to(model.device) * 2 - 1).mean;
        for (int64_t first = 0; first < states.size(0); first += 4) {  // a few at once: memory
            const int64_t n = std::min<int64_t>(4, states.size(0) - first);
            const Conditioning conditioning{.text = {states.narrow(0, first, n)},
                                            .negative = {neutral},
                                            .source = latents,
                                            .guidance = recipe.guidance,
                                            .image_guidance = 1};
            const torch::Tensor noise = shared_noise(
                recipe.seed, {n, latents.size(1), latents.size(2), latents.size(3)}, model.device);
            for (const torch::Tensor& cell :
                 run(model, conditioning, noise, recipe.steps).unbind(0)) {
                cells.push_back(cell);
            }
        }
    }
    return contact_sheet(cells, static_cast<int64_t>(texts.size()) + 1);
}

torch::Tensor generation_sheet(const SheetModel& model, const Recipe& recipe) {
    const std::vector<std::string>& prompts = generation_prompts();
    const auto n = static_cast<int64_t>(prompts.size());
    constexpr int64_t side = 128;  // px
    const int64_t latent = side / recipe.autoencoder_shape.patch;
    const Conditioning conditioning{.text = {model.encode_text(prompts)},
                                    .negative = {model.encode_text({""})},
                                    .source = {},
                                    .guidance = 3,
                                    .image_guidance = 1};
    std::vector<torch::Tensor> cells;
    for (const uint64_t seed : {recipe.seed, recipe.seed + 1}) {
        auto generator = at::detail::createCPUGenerator(seed);
        const torch::Tensor noise =
            torch::randn({n, recipe.autoencoder_shape.latent_channels, latent, latent}, generator,
                         torch::kFloat32)
                .to(model.device);
        for (const torch::Tensor& cell : run(model, conditioning, noise, 20).unbind(0)) {
            cells.push_back(cell);
        }
    }
    return contact_sheet(cells, n / 2);
}

}  // namespace weft
