#pragma once

#include <torch/types.h>

#include <map>
#include <string>

#include "io/files/config.h"
#include "io/files/safetensors.h"
#include "io/files/weights.h"

namespace weft {

/// A committed reference of make_references.py: a small network and runs of it in another library.
class Reference {
  public:
    /// `name` without folder and extension.
    explicit Reference(const std::string& name);

    using Tensors = std::map<std::string, torch::Tensor>;

    struct Run {
        Tensors in;
        Tensors out;
    };

    Config config() const;
    /// The network's weights, in f32 unless asked otherwise.
    Weights weights(WeightOptions options = {}) const;
    /// run(0), run(1), ...; throws std::out_of_range past the last one.
    Run run(int index) const;
    int runs() const;

  private:
    NamedTensors under(const std::string& prefix) const;

    SafeTensors file_;
};

/// Largest absolute difference; infinity where shapes differ or a number is not finite.
double max_error(const torch::Tensor& ours, const torch::Tensor& theirs);

}  // namespace weft
