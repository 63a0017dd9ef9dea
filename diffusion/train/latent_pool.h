#pragma once

#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

#include "diffusion/train/recipe.h"

namespace weft {

/// One training batch in latent space.
struct LatentBatch {
    torch::Tensor source;           // [n, c, h, w]; zeros where the pair has no source
    torch::Tensor target;           // [n, c, h, w]
    std::vector<std::string> text;  // n
};

/// Pictures [n, 3, h, w] in 0..1 -> latents [n, c, h/f, w/f].
using EncodePictures = std::function<torch::Tensor(const torch::Tensor&)>;

/// How pictures become latents.
struct LatentEncoder {
    EncodePictures encode;
    int64_t patch;         // px a latent stands for
    torch::Device device;  // where pictures are drawn and encoded
};

/// Batches of one bucket. Pairs are drawn and encoded a pool at a time and each pool serves several
/// steps, so that drawing costs little; batch `index` is still a pure function of (seed, bucket,
/// index), which is what lets a killed run go on where it was. Thread-safe: no.
class LatentPool {
  public:
    LatentPool(uint64_t seed, Bucket bucket, const StageRecipe& recipe, LatentEncoder encoder);

    LatentBatch batch(int64_t index);

  private:
    void fill(int64_t pool_index);

    uint64_t seed_;
    Bucket bucket_;
    LatentEncoder encoder_;
    int64_t pictures_, batches_per_pool_;
    int64_t pool_index_ = -1;
    torch::Tensor source_, target_;
    std::vector<std::string> text_;
};

/// Which bucket each step trains on: step -> bucket, in the recipe's shares, evenly interleaved.
/// Smallest-deviation scheduling; a pure function of the shares.
class BucketOrder {
  public:
    explicit BucketOrder(const std::vector<Bucket>& buckets);
    /// The next step's bucket and how often it was given before.
    std::pair<size_t, int64_t> next();

  private:
    std::vector<double> shares_;
    std::vector<int64_t> given_;
    int64_t steps_ = 0;
};

}  // namespace weft
