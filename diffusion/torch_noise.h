#pragma once

#include <ATen/core/Generator.h>
#include <torch/types.h>

#include <cstdint>

namespace weft {

/// The numbers that PyTorch's torch.Generator('cpu').manual_seed(seed) draws, in its order, so that
/// a run can be compared with another library's. Has a state: for everything else weft draws noise
/// by key (temporal/noise.h). Copies share the state. Thread-safe: no.
class TorchNoise {
  public:
    explicit TorchNoise(uint64_t seed);

    /// The next torch.randn(shape, generator=...): float32 on the CPU.
    torch::Tensor next(torch::IntArrayRef shape);

  private:
    at::Generator generator_;
};

/// Draw number `draw` (from 0) of a fresh TorchNoise(seed) whose draws all have this shape; as a
/// pure function of its arguments, it makes the earlier ones again. Thread-safe: yes.
torch::Tensor torch_noise(uint64_t seed, int64_t draw, torch::IntArrayRef shape);

}  // namespace weft
