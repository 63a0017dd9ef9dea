#pragma once

#include <torch/types.h>

#include <memory>

namespace weft {

class Weights;

// Note [LoRAs beside the layers]
// A LoRA that is not merged runs beside its layer: y = W x + up (s * down x). The factors of all
// LoRAs of a layer lie side by side, so that two products serve them all, and column r of `down x`
// is weighed by s[r], the strength of the LoRA it belongs to. Strengths may differ from row to row
// of a batch and from call to call, which merged weights cannot. They are told by a guard around
// the call instead of through every layer's arguments, as LibTorch does it with gradients.

/// While it lives, layers that this thread calls weigh their low-rank branches by `strengths`.
/// Guards nest; the inner one counts. Belongs to the thread that made it.
class LoraStrengths {
  public:
    /// @param strengths [1 or n, loras] f32 on the layers' device, by row of the batch and LoRA; a
    ///        row serves all rows. Undefined: all are 1.
    explicit LoraStrengths(torch::Tensor strengths);
    LoraStrengths(const LoraStrengths&) = delete;
    LoraStrengths& operator=(const LoraStrengths&) = delete;
    ~LoraStrengths();

  private:
    torch::Tensor before_;
};

/// The low-rank branch of one layer. Immutable, thread-safe.
class LowRank {
  public:
    /// Names of the branch's tensors in the scope of its layer.
    static constexpr const char* down_name = "low_rank.down";  // [r, in(, kernel, kernel)]
    static constexpr const char* up_name = "low_rank.up";      // [out, r], scaled
    static constexpr const char* lora_name = "low_rank.lora";  // [r] i64, whose column it is
    static constexpr const char* bias_name = "low_rank.bias";  // [b, out], scaled; may be missing
    static constexpr const char* bias_lora_name = "low_rank.bias_lora";  // [b] i64

    /// The branch beside the layer of this scope; null where there is none.
    static std::shared_ptr<const LowRank> beside(const Weights& layer);

    explicit LowRank(const Weights& layer);

    /// What it adds to a linear layer: x [rows, ..., in] -> [rows, ..., out].
    torch::Tensor change(const torch::Tensor& x) const;
    /// y [rows, ..., out] of a linear layer with its change; y is used up.
    torch::Tensor onto(const torch::Tensor& y, const torch::Tensor& x) const;
    /// y [rows, out, h', w'] of a convolution with its change; y is used up.
    torch::Tensor onto_map(const torch::Tensor& y, const torch::Tensor& x, int64_t stride,
                           int64_t padding) const;

  private:
    torch::Tensor raised(const torch::Tensor& hidden) const;

    torch::Tensor down_;
    torch::Tensor up_;
    torch::Tensor lora_;
    torch::Tensor bias_;  // undefined where no LoRA changes the bias
    torch::Tensor bias_lora_;
};

}  // namespace weft
