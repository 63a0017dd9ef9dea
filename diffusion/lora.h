#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>

namespace weft {

/// How a layer's change of weights is factored.
enum class AdapterKind {
    lora,  // up * down (Hu et al., arXiv 2106.09685), convolutions too, with a mid tensor by Tucker
    loha,  // the elementwise product of two such (Hyeon-Woo et al., arXiv 2108.06098)
    lokr,  // a Kronecker product, its factors whole or low-rank (Yeh et al., arXiv 2309.14859)
    full,  // the difference itself
};

/// "LoRA", "LoHa", "LoKr", "full difference".
const char* name_of(AdapterKind kind);

/// What a file says about one layer. Roles of tensors, whatever the file calls them:
///   lora   down [r, in(, kh, kw)], up [out, r(, 1, 1)], mid [r, r, kh, kw]
///   loha   hada_w1_a, hada_w1_b, hada_w2_a, hada_w2_b, hada_t1, hada_t2
///   lokr   lokr_w1 or lokr_w1_a and lokr_w1_b, lokr_w2 or lokr_w2_a and lokr_w2_b, lokr_t2
///   full   diff, of the weight's shape
///   any    bias [out]: change of the bias; magnitude: DoRA's (Liu et al., arXiv 2402.09353)
struct AdapterLayer {
    AdapterKind kind = AdapterKind::lora;
    std::map<std::string, torch::Tensor> tensors = {};
    double alpha = 0;              // 0: not told, which means the rank
    bool rank_stabilised = false;  // scale alpha / sqrt(rank) (Kalajdzievski, arXiv 2312.03732)
    double whole_scale = 1;  // scale where nothing is factored (PEFT scales whole LoKr factors too)
    std::string where = {};  // file and layer, for errors

    bool has(const std::string& role) const { return tensors.contains(role); }

    /// Columns of the narrowest factor; 0 where nothing is factored.
    int64_t rank() const;
    /// What the product is multiplied with: alpha / rank, or whole_scale.
    double scale() const;
};

/// The layer's change of a weight [out, in(, kh, kw)] in f32, scale included. Error where the
/// tensors do not make that shape.
torch::Tensor weight_delta(const AdapterLayer& layer, torch::IntArrayRef shape);

/// True where the layer's change is a product of two factors, so that it can run beside the layer:
/// LoRA without DoRA's magnitude.
bool runs_beside(const AdapterLayer& layer);

/// A change as the product up * down of matrices, in f32, scale included in `up`.
struct LowRankFactors {
    torch::Tensor down;  // [r, in(, kh, kw)], as the weight's shape without its first dimension
    torch::Tensor up;    // [out, r]
};

/// The factors of a layer that runs_beside(), for a weight [out, in(, kh, kw)]; a mid tensor is
/// multiplied into `down`. Error where the tensors do not make that shape.
LowRankFactors low_rank_factors(const AdapterLayer& layer, torch::IntArrayRef shape);

/// The change of a bias [out], scale included, in f32; undefined where there is none.
torch::Tensor bias_delta(const AdapterLayer& layer, int64_t out);

/// The weight with `strength` of the layer's change, in f32. Without a magnitude it is
/// weight + strength * delta. With one the full change is magnitude * V / |V|, V = weight + delta
/// (DoRA, eq. 5), norms over all but the output channel, or all but the input channel where the
/// magnitude has the inputs' shape (older LyCORIS files); strength goes straight from the weight to
/// that, so that 0 is the model as it was.
torch::Tensor adapted_weight(const torch::Tensor& weight, const AdapterLayer& layer,
                             double strength);

/// The bias with `strength` of the layer's change, in f32; the bias itself where there is none.
torch::Tensor adapted_bias(const torch::Tensor& bias, const AdapterLayer& layer, double strength);

}  // namespace weft
