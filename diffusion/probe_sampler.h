#pragma once

#include "diffusion/probe.h"
#include "diffusion/probe_inputs.h"
#include "diffusion/samplers.h"

namespace weft {

/// Replays a sampler over given model outputs, as diffusers' scheduler of that name would go:
/// `sample` (times init_noise_sigma) and one `model_output.N` a network call -> `timesteps` (one a
/// call), `sigmas` where that scheduler has them, `prev_sample.N` after each call in its scale.
/// Stochastic samplers take `noise.N` where given (one a draw), else what
/// torch.Generator('cpu').manual_seed(seed) draws. Error for a count of outputs that fits no number
/// of steps.
NamedTensors probe_sampler(const ProbeRequest& request);

/// The step noise of a probed run, in the shape and on the device of `like`: `noise.N` of the
/// inputs, else torch.Generator's.
StepNoise probe_noise(const ProbeRequest& request, const ProbeInputs& inputs,
                      const torch::Tensor& like);

}  // namespace weft
