#include "diffusion/beside.h"

#include "io/files/error.h"

namespace weft {

BesideInputs inpainting_inputs(const DiffusionModel& model, const torch::Tensor& image,
                               const torch::Tensor& mask) {
    TORCH_CHECK(mask.dim() == 4 && mask.size(1) == 1 && mask.size(2) == image.size(2) &&
                    mask.size(3) == image.size(3),
                "mask ", mask.sizes(), " for pictures ", image.sizes());
    const int64_t f = model.traits().downscale;
    const torch::Tensor kept = mask.lt(0.5).to(image);
    const torch::Tensor seen = (image - 0.5) * kept + 0.5;
    const torch::Tensor binary = 1 - kept;
    return {.mask = torch::upsample_nearest2d(binary, {image.size(2) / f, image.size(3) / f}),
            .masked_source = model.encode(seen)};
}

BesideInputs depth_inputs(const torch::Tensor& map, int64_t h, int64_t w) {
    TORCH_CHECK(map.dim() == 3, "a depth map is [n, h, w], not ", map.sizes());
    const torch::Tensor small = torch::upsample_bicubic2d(map.to(torch::kFloat32).unsqueeze(1),
                                                          {h, w}, /*align_corners=*/false);
    const torch::Tensor low = small.amin({1, 2, 3}, true);
    const torch::Tensor span = small.amax({1, 2, 3}, true) - low;
    // A flat map is in the middle everywhere.
    const torch::Tensor spread = 2 * (small - low) / span - 1;
    return {.depth = torch::where(span.gt(0), spread, torch::zeros_like(spread))};
}

BesideInputs upscaler_inputs(const DiffusionModel& model, const torch::Tensor& image,
                             const torch::Tensor& noise, int64_t level) {
    const Schedule* schedule = model.low_resolution_schedule();
    if (schedule == nullptr || level < 0 || level >= schedule->train_steps())
        throw Error(model.traits().name, schedule == nullptr
                                             ? std::string("is no upscaler")
                                             : c10::str("has no noise level ", level));
    return {.low_resolution = add_noise(image * 2 - 1, noise, schedule->level(level)),
            .noise_level = level};
}

}  // namespace weft
