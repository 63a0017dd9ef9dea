#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "diffusion/device.h"
#include "io/files/safetensors.h"

namespace weft {

/// The tensors a probe was given, looked up by name and checked on the way. Thread-safe: yes.
class ProbeInputs {
  public:
    /// Floating tensors come out on `placement`, integers on its device.
    ProbeInputs(const NamedTensors& tensors, const Placement& placement);

    bool has(const std::string& name) const;
    /// A floating tensor of `shape`; -1 stands for any size. Error naming it where it is missing,
    /// misshapen or of another kind.
    torch::Tensor floats(const std::string& name, torch::IntArrayRef shape) const;
    /// The same in f32 whatever the placement, for numbers that count: half precision has no 1023.
    torch::Tensor exact_floats(const std::string& name, torch::IntArrayRef shape) const;
    /// The same for i64.
    torch::Tensor integers(const std::string& name, torch::IntArrayRef shape) const;
    /// A single number, or one a row of `rows`, of any dtype -> [rows] f32.
    torch::Tensor numbers(const std::string& name, int64_t rows) const;
    /// NAME.0, NAME.1, ... as long as they follow each other; Error where one is left over.
    std::vector<torch::Tensor> list(const std::string& name, torch::IntArrayRef shape) const;

  private:
    torch::Tensor need(const std::string& name, torch::IntArrayRef shape) const;

    const NamedTensors* tensors_;
    Placement placement_;
};

}  // namespace weft
