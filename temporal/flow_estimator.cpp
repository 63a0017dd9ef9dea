#include "temporal/flow_estimator.h"

#include <c10/util/StringUtil.h>

#include <array>

#include "io/files/error.h"
#include "temporal/at_once.h"
#include "temporal/classic_flow.h"
#include "temporal/raft.h"

namespace weft {
namespace {

constexpr std::array estimators{
    FlowEstimatorEntry{"dis", "dense inverse search: fast and good", false, make_dis_flow},
    FlowEstimatorEntry{"dis-fine", "dense inverse search down to whole pixels: for small pictures",
                       false, make_fine_dis_flow},
    FlowEstimatorEntry{"dis-fast", "dense inverse search: fastest, rougher", false,
                       make_fast_dis_flow},
    FlowEstimatorEntry{"farneback", "polynomial expansion: smooth", false, make_farneback_flow},
    FlowEstimatorEntry{"raft", "recurrent network: best, slow on a CPU", true, make_raft_flow},
};

std::string known_names() {
    std::string names;
    for (const FlowEstimatorEntry& entry : estimators) {
        names += (names.empty() ? "" : ", ") + std::string(entry.name);
    }
    return names;
}

}  // namespace

std::span<const FlowEstimatorEntry> flow_estimators() {
    return estimators;
}

std::unique_ptr<FlowEstimator> make_flow_estimator(const std::string& name,
                                                   const FlowEstimatorOptions& options) {
    for (const FlowEstimatorEntry& entry : estimators) {
        if (name != entry.name) {
            continue;
        }
        if (entry.needs_weights && options.weights.empty()) {
            throw UsageError(name, "is a network and needs its trained weights",
                             "give a .safetensors file, or use dis");
        }
        return entry.make(options);
    }
    throw UsageError(name, "no such flow estimator", c10::str("known: ", known_names()));
}

FlowEvidence estimate_both_ways(const FlowEstimator& estimator, const torch::Tensor& target,
                                const torch::Tensor& source) {
    FlowEvidence evidence{target, source, {}, {}};
    const auto find = [&](int64_t way) {
        (way == 0 ? evidence.backward : evidence.forward) =
            way == 0 ? estimator(target, source) : estimator(source, target);
    };
    if (estimator.one_thread()) {
        at_once(2, find);
    } else {
        find(0);
        find(1);
    }
    return evidence;
}

}  // namespace weft
