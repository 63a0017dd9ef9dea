#include "diffusion/x0_rules.h"

#include <utility>
#include <vector>

namespace weft {
namespace {

// Where all 3 x 3 neighbours of w [n, 1, h, w] are alike: 1, else 0.
torch::Tensor is_flat(const torch::Tensor& w) {
    const auto largest = [](const torch::Tensor& x) {
        return torch::max_pool2d(x, {3, 3}, {1, 1}, {1, 1});
    };
    return (largest(w) + largest(-w) < 1e-3).to(w);
}

// The x at step.to that PixelFusion asks for.
torch::Tensor fused_next(const PixelFusion& fusion, const NoiseStep& step, const torch::Tensor& x,
                         const torch::Tensor& x0, const torch::Tensor& fresh) {
    const torch::Tensor w = fusion.weight.to(x0);
    const torch::Tensor e = (x - x0 * step.from.alpha) / step.from.sigma;
    const torch::Tensor full =
        torch::maximum(1 - w, fusion.inner * (1 - w * w).clamp_min(0).sqrt());
    const torch::Tensor r = torch::lerp(1 - w, full, is_flat(w));
    return step.to.alpha * (w * fusion.target.to(x0) + (1 - w) * x0) +
           step.to.sigma * (w * fresh.to(x0) + r * e);
}

// The x0 from which a first-order step arrives at `next`:
// next = alpha' x0 + sigma' (x - alpha x0) / sigma.
torch::Tensor x0_towards(const torch::Tensor& next, const torch::Tensor& x, const NoiseStep& step) {
    const double kept = step.to.sigma / step.from.sigma;
    return (next - x * kept) / (step.to.alpha - kept * step.from.alpha);
}

}  // namespace

Denoise shapes_fused(Denoise denoise, ShapeFusion fusion, std::span<const NoiseStep> steps) {
    return [denoise = std::move(denoise), fusion = std::move(fusion), clock = StepClock(steps)](
               const torch::Tensor& x, const NoiseLevel& level) {
        torch::Tensor x0 = denoise(x, level);
        if (!clock.within(fusion.range, level))
            return x0;
        return torch::lerp(x0, fusion.pull(x0), fusion.mask.to(x0).expand_as(x0));
    };
}

torch::Tensor with_statistics_of(const torch::Tensor& like, const torch::Tensor& x) {
    const std::vector<int64_t> pixels = {2, 3};
    const auto mean = [&](const torch::Tensor& t) { return t.mean(pixels, /*keepdim=*/true); };
    const auto spread = [&](const torch::Tensor& t) {
        return t.std(pixels, /*unbiased=*/false, /*keepdim=*/true);
    };
    return (x - mean(x)) * (spread(like) / spread(x).clamp_min(1e-6)) + mean(like);
}

Denoise styled_as_anchor(Denoise denoise, AnchorStyle style, std::span<const NoiseStep> steps) {
    return [denoise = std::move(denoise), style = std::move(style), clock = StepClock(steps)](
               const torch::Tensor& x, const NoiseLevel& level) {
        torch::Tensor x0 = denoise(x, level);
        if (style.strength == 0 || !clock.within(style.range, level))
            return x0;
        TORCH_CHECK(style.anchors.size(0) == x0.size(0), style.anchors.size(0), " anchors for ",
                    x0.size(0), " frames");
        const torch::Tensor anchors = x0.index_select(0, style.anchors.to(x0.device()));
        return torch::lerp(x0, with_statistics_of(anchors, x0), style.strength);
    };
}

Denoise kept_outside(Denoise denoise, torch::Tensor source, torch::Tensor mask) {
    return [denoise = std::move(denoise), source = std::move(source), mask = std::move(mask)](
               const torch::Tensor& x, const NoiseLevel& level) {
        const torch::Tensor x0 = denoise(x, level);
        return torch::lerp(source.to(x0), x0, mask.to(x0).expand_as(x0));
    };
}

Denoise pixels_fused(Denoise denoise, PixelFusion fusion, std::span<const NoiseStep> steps) {
    return [denoise = std::move(denoise), fusion = std::move(fusion), clock = StepClock(steps)](
               const torch::Tensor& x, const NoiseLevel& level) {
        torch::Tensor x0 = denoise(x, level);
        if (!clock.within(fusion.range, level))
            return x0;
        const size_t i = clock.step_at(level);
        const NoiseStep step{level, clock.step(i).to};
        const torch::Tensor fresh = fusion.noise(static_cast<int64_t>(i));
        return x0_towards(fused_next(fusion, step, x, x0, fresh), x, step);
    };
}

torch::Tensor faithful_latents(const FaithfulEncoding& by, const torch::Tensor& pictures) {
    const torch::Tensor first = by.encode(pictures);
    const torch::Tensor shown = by.decode(first);
    const torch::Tensor error = (pictures.to(shown) - shown).abs().mean(1, /*keepdim=*/true);
    // The largest error under each latent.
    const torch::Tensor lost =
        std::get<0>(torch::adaptive_max_pool2d(error, {first.size(2), first.size(3)}));
    const torch::Tensor kept = (lost <= by.most_error).to(first);
    return first + kept * (first - by.encode(shown));
}

}  // namespace weft
