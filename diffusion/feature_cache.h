#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "diffusion/unet.h"

namespace weft {

/// DeepCache with a uniform interval (Ma et al., arXiv 2312.00858, section 3.3) for one run of a
/// sampler over one batch: of every N calls of the denoiser the first runs the whole network, the
/// others reuse its deep features. Calls are counted, not steps, so that samplers of two calls a
/// step work too. A call may run the network several times (chunks of rows), in the same order each
/// time: each run has its own features. Where a run's rows change in number or size (guidance set
/// in or ended), it is whole. Thread-safe: no, belongs to one run.
class FeatureCache {
  public:
    /// @param every N >= 1; 1 switches it off
    explicit FeatureCache(int64_t every);

    /// A call of the denoiser begins.
    void begin();
    /// What its next run of the network, over `input` [n, c, h, w], is to use; valid until the next
    /// next(). Null where the cache is off.
    DeepFeatures* next(const torch::Tensor& input);

  private:
    int64_t every_;
    int64_t calls_ = 0;
    size_t run_ = 0;                  // of the present call
    std::vector<DeepFeatures> runs_;  // by their order in a call
};

}  // namespace weft
