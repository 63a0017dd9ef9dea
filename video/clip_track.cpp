#include "video/clip_track.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace weft {
namespace {

double inner_product(const torch::Tensor& a, const torch::Tensor& b) {
    return (a * b).sum(torch::kFloat64).item<double>();
}

}  // namespace

ClipTrack::ClipTrack(const ClipScorer& scorer, torch::Tensor text)
    : scorer_(&scorer), text_(std::move(text)) {}

void ClipTrack::add(const torch::Tensor& picture) {
    const auto seen = scorer_->pictures(picture);
    text_sum_ += inner_product(seen.embeds, text_);
    if (frames_ > 0) {
        neighbour_sum_ += inner_product(seen.embeds, last_embeds_);
        pooled_sum_ += std::max(0.0, inner_product(seen.pooled, last_pooled_));
        sum_ = sum_ + seen.embeds;
    } else {
        sum_ = seen.embeds.to(torch::kFloat64);
    }
    last_embeds_ = seen.embeds;
    last_pooled_ = seen.pooled;
    ++frames_;
}

ClipScores ClipTrack::scores() const {
    const auto count = static_cast<double>(frames_);
    if (frames_ == 0) {
        return {};
    }
    ClipScores scores{.text = text_sum_ / count};
    if (frames_ > 1) {
        // |sum of v|^2 is the sum over all pairs, those of a frame with itself being 1 each.
        scores.all_pairs = (inner_product(sum_, sum_) - count) / (count * (count - 1));
        scores.neighbours = neighbour_sum_ / (count - 1);
        scores.pooled = pooled_sum_ / (count - 1);
    }
    return scores;
}

}  // namespace weft
