#pragma once

#include <torch/types.h>

#include <span>

#include "diffusion/samplers.h"

namespace weft {

/// One run of a sampler: its steps, its network, its noise, and who is told what. Samplers are
/// written against it; nobody else includes it. A reference to its arguments: they must outlive it.
class Walk {
  public:
    Walk(const Denoise& denoise, std::span<const NoiseStep> steps, const SamplerOptions& options,
         double eta);

    std::span<const NoiseStep> steps() const { return steps_; }

    size_t size() const { return steps_.size(); }

    const SamplerOptions& options() const { return options_; }

    const SolverConfig& solver() const { return options_.solver; }

    /// Share of fresh noise, [0, 1].
    double eta() const { return eta_; }

    /// One network call: x -> x0.
    torch::Tensor x0(const torch::Tensor& x, const NoiseLevel& level) const;

    /// The same with x0 clipped as the options say.
    torch::Tensor clipped_x0(const torch::Tensor& x, const NoiseLevel& level) const;

    /// The same for y = x / alpha.
    torch::Tensor scaled_x0(const torch::Tensor& y, const NoiseLevel& level) const;

    /// Unit noise.
    torch::Tensor noise(size_t draw) const;

    /// The level between those of the steps at a sigma / alpha, on the steps' own path.
    NoiseLevel at_ratio(double ratio) const;

    /// The level at a whole timestep.
    NoiseLevel at_time(double t) const;

    /// Tells that a network call has brought x (or y = x / alpha) to a level.
    void tell_call(const torch::Tensor& x, const NoiseLevel& level) const;
    void tell_scaled_call(const torch::Tensor& y, const NoiseLevel& level) const;

    /// Tells that a step is done, and with it its last call.
    void tell_step(size_t step, const torch::Tensor& x) const;
    void tell_scaled_step(size_t step, const torch::Tensor& y) const;

  private:
    const Denoise& denoise_;
    std::span<const NoiseStep> steps_;
    const SamplerOptions& options_;
    double eta_;
};

/// Half the logarithm of the signal-to-noise ratio; infinite at sigma 0.
double log_snr(const NoiseLevel& level);

// The runs, by kind; the table in samplers.cpp names them.

// sampler_ddim.cpp: on x, one call a step.
torch::Tensor run_ddpm(const Walk& walk, torch::Tensor x);
torch::Tensor run_ddim(const Walk& walk, torch::Tensor x);
torch::Tensor run_lcm(const Walk& walk, torch::Tensor x);
torch::Tensor run_tcd(const Walk& walk, torch::Tensor x);
torch::Tensor run_flow_euler(const Walk& walk, torch::Tensor x);
torch::Tensor run_flow_heun(const Walk& walk, torch::Tensor x);

// sampler_pndm.cpp
torch::Tensor run_pndm(const Walk& walk, torch::Tensor x);

// sampler_karras.cpp: on y = x / alpha over sigma / alpha.
torch::Tensor run_euler(const Walk& walk, torch::Tensor x);
torch::Tensor run_euler_a(const Walk& walk, torch::Tensor x);
torch::Tensor run_heun(const Walk& walk, torch::Tensor x);
torch::Tensor run_lms(const Walk& walk, torch::Tensor x);
torch::Tensor run_dpm2(const Walk& walk, torch::Tensor x);
torch::Tensor run_dpm2_a(const Walk& walk, torch::Tensor x);
torch::Tensor run_dpmpp_2s_a(const Walk& walk, torch::Tensor x);
torch::Tensor run_dpmpp_sde(const Walk& walk, torch::Tensor x);

// sampler_multistep.cpp: on x over the logarithm of the signal-to-noise ratio.
torch::Tensor run_dpmpp_2m(const Walk& walk, torch::Tensor x);
torch::Tensor run_dpmpp_3m_sde(const Walk& walk, torch::Tensor x);
torch::Tensor run_deis(const Walk& walk, torch::Tensor x);

// sampler_unipc.cpp
torch::Tensor run_unipc(const Walk& walk, torch::Tensor x);

}  // namespace weft
