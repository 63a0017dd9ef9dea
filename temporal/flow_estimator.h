#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "temporal/flow.h"

namespace weft {

/// Finds the motion between pictures. Equal pictures give equal bits, whatever the number of
/// threads. Thread-safe: yes (const).
class FlowEstimator {
  public:
    FlowEstimator() = default;
    FlowEstimator(const FlowEstimator&) = delete;
    FlowEstimator& operator=(const FlowEstimator&) = delete;
    virtual ~FlowEstimator() = default;

    /// The flow on `target` that leads to `source`; see Note [Flow convention].
    /// @param target, source [n, 3, h, w] float RGB in [0, 1], of any size, on one device
    /// @return [n, 2, h, w] float32, pixels, on the same device
    virtual torch::Tensor operator()(const torch::Tensor& target,
                                     const torch::Tensor& source) const = 0;

    /// Whether a call keeps one core busy and no more, so that several are best run at once.
    virtual bool one_thread() const { return false; }
};

/// What an estimator is made from.
struct FlowEstimatorOptions {
    /// Trained weights (.safetensors), for the estimators that are networks.
    std::filesystem::path weights = {};
    torch::Device device = torch::kCPU;
};

/// One way to find motion; an entry of flow_estimators().
struct FlowEstimatorEntry {
    const char* name;
    const char* help;    // one line
    bool needs_weights;  // a network, whose weights must be given
    std::unique_ptr<FlowEstimator> (*make)(const FlowEstimatorOptions& options);
};

/// All estimators, the default first. To add one: its file, and its line in flow_estimator.cpp.
std::span<const FlowEstimatorEntry> flow_estimators();

/// The estimator of that name.
/// @throws UsageError for an unknown name, with the known ones, or a network without weights; Error
///         for weights that do not fit
std::unique_ptr<FlowEstimator> make_flow_estimator(const std::string& name,
                                                   const FlowEstimatorOptions& options = {});

/// Flow from `target` to `source` and back, with the pictures it was made from.
FlowEvidence estimate_both_ways(const FlowEstimator& estimator, const torch::Tensor& target,
                                const torch::Tensor& source);

}  // namespace weft
