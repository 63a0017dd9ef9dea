#include "diffusion/feature_cache.h"

namespace weft {

namespace {

bool fits(const torch::Tensor& features, const torch::Tensor& input) {
    return features.defined() && features.size(0) == input.size(0) &&
           features.size(2) == input.size(2) && features.size(3) == input.size(3);
}

}  // namespace

FeatureCache::FeatureCache(int64_t every) : every_(every) {
    TORCH_CHECK(every >= 1, "deep features renewed every ", every, " calls");
}

void FeatureCache::begin() {
    ++calls_;
    run_ = 0;
}

DeepFeatures* FeatureCache::next(const torch::Tensor& input) {
    if (every_ == 1)
        return nullptr;
    if (run_ == runs_.size())
        runs_.emplace_back();
    DeepFeatures& features = runs_[run_++];
    const bool renews = (calls_ - 1) % every_ == 0;
    features.reuse = !renews && fits(features.features, input);
    return &features;
}

}  // namespace weft
