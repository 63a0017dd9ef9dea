#pragma once

#include <string>
#include <utility>
#include <vector>

#include "diffusion/adapter.h"
#include "diffusion/model_source.h"

namespace weft {

/// The weights of a model's components on their way into networks:
///
///     ModelWeights weights(source, loras);
///     Unet unet(config, weights.open("unet", options));   // and so on
///     notes = weights.finish();
///
/// Thread-safe: no. The source must outlive it.
class ModelWeights {
  public:
    ModelWeights(const ModelSource& source, const std::vector<LoraChoice>& loras);

    /// The component's weights, with what the LoRAs do to them.
    Weights open(const std::string& component, const WeightOptions& options);

    /// Once the networks are made: what a user should know, a line each. Of LoRAs as
    /// Adapters::finish(); of the model one line that counts and names the tensors that no layer
    /// took, a sign of a variant that weft reads only in part. Error where a LoRA fits nothing.
    std::vector<std::string> finish() const;

  private:
    const ModelSource& source_;
    Adapters adapters_;
    std::vector<std::pair<std::string, Weights>> opened_;
};

/// The names that no layer has asked for, as "component: name", but for those that every model
/// carries for nothing (position_ids and such).
std::vector<std::string> unused_names(const std::string& component, const Weights& weights);

}  // namespace weft
