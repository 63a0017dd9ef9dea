#include "diffusion/injection.h"

#include <algorithm>
#include <utility>

namespace weft {
namespace {

std::string up_block(size_t i) {
    return "up_blocks." + std::to_string(i);
}

bool attends(const UnetConfig& config, size_t i) {
    return config.up_block_types[i].starts_with("CrossAttn");
}

// Number of the first up block that attends; the number of blocks where none does.
size_t first_attending(const UnetConfig& config) {
    size_t i = 0;
    while (i < config.up_block_types.size() && !attends(config, i)) ++i;
    return i;
}

// Layers of up block i: those of its level and one more.
int64_t layers_of(const UnetConfig& config, size_t i) {
    const auto& layers = config.layers_per_block;
    return 1 + (layers.size() == 1 ? layers.front() : layers[config.up_block_types.size() - 1 - i]);
}

}  // namespace

SourcePath::SourcePath(torch::Tensor clean, std::span<const NoiseStep> steps,
                       const std::vector<torch::Tensor>& inverted)
    : clean_(std::move(clean)) {
    TORCH_CHECK(inverted.size() == steps.size() && !steps.empty(), inverted.size(),
                " inverted latents for ", steps.size(), " steps");
    for (size_t i = 0; i < steps.size(); ++i) {
        const NoiseLevel& level = steps[steps.size() - 1 - i].from;
        TORCH_CHECK(inverted[i].sizes() == clean_.sizes(), "inverted latents ", inverted[i].sizes(),
                    " of a source ", clean_.sizes());
        points_.push_back({level.t, (inverted[i] - clean_ * level.alpha) / level.sigma});
    }
}

torch::Tensor SourcePath::at(const NoiseLevel& level) const {
    const auto above = std::lower_bound(points_.begin(), points_.end(), level.t,
                                        [](const Point& point, double t) { return point.t < t; });
    torch::Tensor noise;
    if (above == points_.begin() || (above != points_.end() && above->t == level.t)) {
        noise = above->noise;
    } else if (above == points_.end()) {
        noise = points_.back().noise;
    } else {
        const Point& below = *std::prev(above);
        noise = torch::lerp(below.noise, above->noise, (level.t - below.t) / (above->t - below.t));
    }
    return clean_ * level.alpha + noise * level.sigma;
}

SourcePath SourcePath::rows(const torch::Tensor& index) const {
    SourcePath chosen = *this;
    const torch::Tensor places = index.to(clean_.device());
    chosen.clean_ = clean_.index_select(0, places);
    for (Point& point : chosen.points_) point.noise = point.noise.index_select(0, places);
    return chosen;
}

std::string injected_features(const UnetConfig& config) {
    const size_t first = first_attending(config);
    return first < config.up_block_types.size() ? up_block(first) + ".resnets.1" : "none";
}

std::string injected_maps(const UnetConfig& config) {
    const size_t first = first_attending(config);
    std::string words = "none";
    for (size_t i = first; i < config.up_block_types.size(); ++i) {
        if (i > first && attends(config, i))
            words += '+' + up_block(i) + ".attentions";
        for (int64_t layer = 1; i == first && layer < layers_of(config, i); ++layer)
            words += '+' + up_block(i) + ".attentions." + std::to_string(layer);
    }
    return words;
}

}  // namespace weft
