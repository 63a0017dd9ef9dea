#pragma once

#include <torch/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/train/recipe.h"
#include "io/files/safetensors.h"

namespace weft {

/// AdamW (Loshchilov & Hutter, "Decoupled Weight Decay Regularization", Algorithm 2) with gradient
/// clipping by global norm and an exponential moving average of the weights. Thread-safe: no.
class Optimizer {
  public:
    /// @param parameters leaves that require gradients, with their names
    Optimizer(const NamedTensors& parameters, const StageRecipe& recipe);

    /// Clips the gradients, takes one step at `learning_rate`, updates the average, clears the
    /// gradients. A non-finite gradient norm skips the step. Returns the norm before clipping.
    double step(double learning_rate);
    /// Steps taken.
    int64_t steps() const;
    /// The averaged weights under the parameters' names.
    NamedTensors averaged() const;

    /// Everything a resumed run needs ("weight.N", "average.N", "adam.first.N", "adam.second.N").
    NamedTensors state() const;
    /// Takes back what `state` gave; throws Error where names or shapes differ.
    void restore(const SafeTensors& file, int64_t steps);

  private:
    std::vector<std::string> names_;
    std::vector<torch::Tensor> weights_, average_, first_, second_, step_counts_;
    double weight_decay_, clip_norm_, ema_decay_;
    int64_t steps_ = 0;
};

/// Linear warm-up, then half a cosine from `peak` to 1 % of it. `done` in [0, 1] is the share of
/// the run that is over (by steps or by time).
double cosine_rate(double peak, int64_t step, int64_t warmup, double done);

}  // namespace weft
