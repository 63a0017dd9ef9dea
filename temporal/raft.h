#pragma once

#include <torch/types.h>

#include <memory>
#include <vector>

#include "io/files/weights.h"
#include "temporal/flow_estimator.h"

namespace weft {

/// RAFT (Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020),
/// large or small, with the names of torchvision's state dict; all sizes are read from the tensors'
/// shapes. Thread-safe: yes (immutable).
class Raft {
  public:
    /// Throws Error where a tensor is missing or does not fit the others.
    explicit Raft(const Weights& weights);
    ~Raft();
    Raft(Raft&&) noexcept;
    Raft& operator=(Raft&&) noexcept;
    Raft(const Raft&) = delete;
    Raft& operator=(const Raft&) = delete;

    /// @param target, source [n, 3, h, w] in [-1, 1]; h and w multiples of 8, 128 or more
    /// @return the flow after each update, [n, 2, h, w]; only the last one where `all` is false
    std::vector<torch::Tensor> operator()(const torch::Tensor& target, const torch::Tensor& source,
                                          int64_t updates, bool all = false) const;

  private:
    struct Network;
    std::unique_ptr<const Network> network_;
};

/// RAFT with 12 updates from a .safetensors file; pictures of any size, padded by their edge. The
/// memory for all pairs is (h w / 64)^2 numbers: 75 MB for 512x288.
std::unique_ptr<FlowEstimator> make_raft_flow(const FlowEstimatorOptions& options);

}  // namespace weft
