#include "diffusion/train/latent_pool.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "diffusion/train/pairs.h"

namespace weft {
namespace {

/// Pictures are encoded in slices, so that a large pool needs little memory beside its latents.
constexpr int64_t draw_at_once = 32;

}  // namespace

LatentPool::LatentPool(uint64_t seed, Bucket bucket, const StageRecipe& recipe,
                       LatentEncoder encoder)
    : seed_(seed), bucket_(bucket), encoder_(std::move(encoder)) {
    // The recipe's pool counts pictures of 128 x 128; larger ones are fewer.
    const double area = static_cast<double>(bucket.height * bucket.width) / (128.0 * 128.0);
    pictures_ =
        std::max<int64_t>(bucket.batch, std::llround(static_cast<double>(recipe.pool) / area));
    double uses = recipe.reuse;
    if (bucket.crop > 0) {
        uses *= static_cast<double>(bucket.height * bucket.width) /
                static_cast<double>(bucket.crop * bucket.crop);
    }
    batches_per_pool_ = std::max<int64_t>(
        1, std::llround(static_cast<double>(pictures_) * uses / static_cast<double>(bucket.batch)));
}

void LatentPool::fill(int64_t pool_index) {
    const torch::NoGradGuard no_grad;
    PairOptions options;
    options.generation = bucket_.generation;
    std::vector<torch::Tensor> sources, targets;
    text_.clear();
    for (int64_t done = 0; done < pictures_; done += draw_at_once) {
        const int64_t count = std::min(draw_at_once, pictures_ - done);
        PairBatch pairs = make_pairs({seed_, pool_index * pictures_ + done, count}, bucket_.height,
                                     bucket_.width, encoder_.device, options);
        const torch::Tensor present = pairs.has_source.to(torch::kFloat32).view({-1, 1, 1, 1});
        sources.push_back(encoder_.encode(pairs.source) * present);
        targets.push_back(encoder_.encode(pairs.target));
        text_.insert(text_.end(), pairs.text.begin(), pairs.text.end());
    }
    source_ = torch::cat(sources);
    target_ = torch::cat(targets);
    pool_index_ = pool_index;
}

LatentBatch LatentPool::batch(int64_t index) {
    if (index / batches_per_pool_ != pool_index_) {
        fill(index / batches_per_pool_);
    }
    auto generator =
        at::detail::createCPUGenerator(seed_ * 1000003U + static_cast<uint64_t>(index));
    const int64_t pictures = bucket_.batch / bucket_.views;
    const torch::Tensor picks = torch::randint(pictures_, {pictures}, generator, torch::kInt64);
    const torch::Tensor on_device = picks.to(encoder_.device);
    const torch::Tensor source = source_.index_select(0, on_device);
    const torch::Tensor target = target_.index_select(0, on_device);
    const int64_t h = bucket_.crop > 0 ? bucket_.crop / encoder_.patch : source.size(2);
    const int64_t w = bucket_.crop > 0 ? bucket_.crop / encoder_.patch : source.size(3);
    LatentBatch batch;
    std::vector<torch::Tensor> sources, targets;
    for (int64_t view = 0; view < bucket_.views; ++view) {
        const auto top = torch::randint(source.size(2) - h + 1, {1}, generator).item<int64_t>();
        const auto left = torch::randint(source.size(3) - w + 1, {1}, generator).item<int64_t>();
        sources.push_back(source.narrow(2, top, h).narrow(3, left, w));
        targets.push_back(target.narrow(2, top, h).narrow(3, left, w));
        for (int64_t i = 0; i < pictures; ++i) {
            batch.text.push_back(text_[static_cast<size_t>(picks[i].item<int64_t>())]);
        }
    }
    batch.source = torch::cat(sources);
    batch.target = torch::cat(targets);
    return batch;
}

BucketOrder::BucketOrder(const std::vector<Bucket>& buckets) : given_(buckets.size(), 0) {
    double sum = 0;
    for (const Bucket& bucket : buckets) {
        sum += bucket.share;
    }
    for (const Bucket& bucket : buckets) {
        shares_.push_back(bucket.share / sum);
    }
}

std::pair<size_t, int64_t> BucketOrder::next() {
    ++steps_;
    size_t best = 0;
    double most_behind = -1e300;
    for (size_t i = 0; i < shares_.size(); ++i) {
        const double behind =
            shares_[i] * static_cast<double>(steps_) - static_cast<double>(given_[i]);
        if (behind > most_behind) {
            most_behind = behind;
            best = i;
        }
    }
    return {best, given_[best]++};
}

}  // namespace weft
