#include "diffusion/reference_bank.h"

namespace weft {

int64_t SiteMemory::bytes() const {
    int64_t sum = 0;
    for (const torch::Tensor& tensor : {keys, values, tokens, answers})
        sum += tensor.defined() ? static_cast<int64_t>(tensor.nbytes()) : 0;
    return sum;
}

void ReferenceBank::put(int64_t call, const std::string& site, const SiteMemory& memory) {
    bytes_ += memory.bytes();
    overflowed_ = overflowed_ || bytes_ > most_bytes_;
    if (overflowed_) {
        calls_.clear();
        return;
    }
    if (call >= std::ssize(calls_))
        calls_.resize(call + 1);
    calls_[call][site] = memory;
}

const SiteMemory& ReferenceBank::at(int64_t call, const std::string& site) const {
    TORCH_CHECK(call < std::ssize(calls_), "call ", call, " of ", calls_.size(), " that are known");
    const auto found = calls_[call].find(site);
    TORCH_CHECK(found != calls_[call].end(), "nothing is known of ", site, " in call ", call);
    return found->second;
}

}  // namespace weft
