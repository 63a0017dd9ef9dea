#include "diffusion/torch_noise.h"

#include <ATen/CPUGeneratorImpl.h>

namespace weft {

TorchNoise::TorchNoise(uint64_t seed)
    : generator_(at::make_generator<at::CPUGeneratorImpl>(seed)) {}

torch::Tensor TorchNoise::next(torch::IntArrayRef shape) {
    return torch::randn(shape, generator_, torch::TensorOptions(torch::kFloat32));
}

torch::Tensor torch_noise(uint64_t seed, int64_t draw, torch::IntArrayRef shape) {
    TORCH_CHECK(draw >= 0, "draw ", draw, " is negative");
    TorchNoise noise(seed);
    for (int64_t i = 0; i < draw; ++i) noise.next(shape);
    return noise.next(shape);
}

}  // namespace weft
