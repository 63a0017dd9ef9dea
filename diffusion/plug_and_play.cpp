#include "diffusion/plug_and_play.h"

#include <utility>
#include <vector>

#include "io/files/error.h"

namespace weft {
namespace {

// The trajectory of all frames, some frames at a time.
std::vector<torch::Tensor> inverted(const Denoise& denoise, const torch::Tensor& latents,
                                    std::span<const NoiseStep> steps, Prediction prediction,
                                    int64_t rows) {
    std::vector<std::vector<torch::Tensor>> parts(steps.size());
    for (const torch::Tensor& some : latents.split(rows > 0 ? rows : latents.size(0))) {
        std::vector<torch::Tensor> path = invert_ddim(denoise, some, steps, prediction);
        for (size_t i = 0; i < path.size(); ++i) parts[i].push_back(std::move(path[i]));
    }
    std::vector<torch::Tensor> whole;
    whole.reserve(parts.size());
    for (const std::vector<torch::Tensor>& part : parts) whole.push_back(torch::cat(part));
    return whole;
}

}  // namespace

Injection plug_and_play(const DiffusionModel& model, const torch::Tensor& latents,
                        std::span<const NoiseStep> steps, const PlugAndPlayOptions& options) {
    if (model.traits().beside != Beside::nothing)
        throw UsageError(model.traits().name, "is fed more than the noisy picture",
                         "leave plug-and-play to models that take a prompt alone");
    TORCH_CHECK(!steps.empty(), "plug-and-play of no steps");
    const TextCondition text = model.encode_text({options.text});
    const Prediction prediction = model.schedule().config().prediction;
    const Denoise denoise = [inner = model.denoise({.text = text, .negative = {}}),
                             &on_call = options.on_call](const torch::Tensor& x,
                                                         const NoiseLevel& level) {
        if (on_call)
            on_call();
        return inner(x, level);
    };
    const torch::Tensor clean = latents.to(torch::kFloat32);
    return {.source = SourcePath(
                clean, steps, inverted(denoise, clean, steps, prediction, options.rows_per_call)),
            .text = text,
            .steps = {steps.begin(), steps.end()},
            .features = options.features,
            .maps = options.maps};
}

}  // namespace weft
