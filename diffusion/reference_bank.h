#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace weft {

/// What the references of linked frames are at one site; rows are branches * references, branch by
/// branch. See FrameLinks::Way for which are defined.
struct SiteMemory {
    torch::Tensor keys = {};     // [b * r, t, width]
    torch::Tensor values = {};   // the same
    torch::Tensor tokens = {};   // [r, t, d] unit tokens of the rows that tell correspondences
    torch::Tensor answers = {};  // [b * r, t, d]

    int64_t bytes() const;
};

/// What references are at every linked site, network call by network call of one run of a sampler,
/// so that frames of later runs see them without running them again. Levels, sampler, guidance and
/// LoRA strengths of those runs must be the recording one's. Thread-safe: for reading.
class ReferenceBank {
  public:
    /// Beyond so many bytes nothing is kept, and the bank stays incomplete.
    explicit ReferenceBank(int64_t most_bytes) : most_bytes_(most_bytes) {}

    /// @param call network calls of the run, from 0
    void put(int64_t call, const std::string& site, const SiteMemory& memory);

    /// @throws c10::Error for a call or site that the recorded run did not have
    const SiteMemory& at(int64_t call, const std::string& site) const;

    /// All that was put is there.
    bool complete() const { return !overflowed_ && !calls_.empty(); }

    int64_t bytes() const { return bytes_; }

  private:
    int64_t most_bytes_;
    int64_t bytes_ = 0;
    bool overflowed_ = false;
    std::vector<std::map<std::string, SiteMemory>> calls_;
};

}  // namespace weft
