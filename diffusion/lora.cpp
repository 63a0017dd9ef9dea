#include "diffusion/lora.h"

#include <c10/util/StringUtil.h>

#include <cmath>

#include "io/files/error.h"

namespace weft {

namespace {

constexpr const char* other_model = "the adapter was made for another kind of model, or is damaged";

torch::Tensor part(const AdapterLayer& layer, const std::string& role) {
    const auto found = layer.tensors.find(role);
    if (found == layer.tensors.end())
        throw Error(layer.where, c10::str("has no tensor '", role, "'"),
                    "the file is incomplete; fetch it again");
    return found->second.to(torch::kFloat32);
}

// A layer's weight that a change is made for. Factors are small whatever they make, so sizes are
// compared before anything is multiplied.
struct Target {
    int64_t numel;
    const std::string& where;

    void check(double made) const {
        if (made > static_cast<double>(numel))
            throw Error(where, c10::str("makes ", made, " numbers for a layer of ", numel),
                        other_model);
    }
};

double size_of(const torch::Tensor& tensor, int64_t dim) {
    return static_cast<double>(tensor.size(dim));
}

// [out, r(, 1, 1)] times [r, in(, kh, kw)] as matrices: [out, in(*kh*kw)]
torch::Tensor product(const torch::Tensor& left, const torch::Tensor& right, const Target& target) {
    const torch::Tensor a = left.flatten(1), b = right.flatten(1);
    target.check(size_of(a, 0) * size_of(b, 1));
    return a.matmul(b);
}

// Tucker: core [r, s, kh, kw] with `out` [r, o] before and `in` [s, i] behind -> [o, i, kh, kw]
torch::Tensor tucker(const torch::Tensor& core, const torch::Tensor& out, const torch::Tensor& in,
                     const Target& target) {
    target.check(size_of(out, 1) * size_of(in, 1) * size_of(core, 2) * size_of(core, 3));
    return torch::einsum("rskl,ro,si->oikl", {core, out, in});
}

// core [r, s, kh, kw] with `in` [s, i] behind -> [r, i, kh, kw]
torch::Tensor inner_tucker(const torch::Tensor& core, const torch::Tensor& in,
                           const Target& target) {
    target.check(size_of(in, 1) * size_of(core, 2) * size_of(core, 3));
    return torch::einsum("rskl,si->rikl", {core, in});
}

torch::Tensor lora_delta(const AdapterLayer& layer, const Target& target) {
    const torch::Tensor down = part(layer, "down"), up = part(layer, "up");
    if (!layer.has("mid"))
        return product(up, down, target);
    return tucker(part(layer, "mid"), up.flatten(1).t(), down.flatten(1), target);
}

torch::Tensor loha_factor(const AdapterLayer& layer, const std::string& index,
                          const Target& target) {
    const torch::Tensor a = part(layer, "hada_w" + index + "_a");
    const torch::Tensor b = part(layer, "hada_w" + index + "_b");
    const std::string core = "hada_t" + index;
    return layer.has(core) ? tucker(part(layer, core), a, b, target) : product(a, b, target);
}

torch::Tensor loha_delta(const AdapterLayer& layer, const Target& target) {
    const torch::Tensor left = loha_factor(layer, "1", target);
    const torch::Tensor right = loha_factor(layer, "2", target);
    TORCH_CHECK(left.sizes() == right.sizes(), left.sizes(), " times ", right.sizes());
    return left * right;
}

torch::Tensor lokr_factor(const AdapterLayer& layer, const std::string& index,
                          const Target& target) {
    const std::string whole = "lokr_w" + index, core = "lokr_t" + index;
    if (layer.has(whole))
        return part(layer, whole);
    const torch::Tensor a = part(layer, whole + "_a"), b = part(layer, whole + "_b");
    return layer.has(core) ? tucker(part(layer, core), a, b, target) : product(a, b, target);
}

torch::Tensor lokr_delta(const AdapterLayer& layer, const Target& target) {
    torch::Tensor left = lokr_factor(layer, "1", target);
    // kron asks for contiguous factors of as many dimensions
    const torch::Tensor right = lokr_factor(layer, "2", target).contiguous();
    target.check(static_cast<double>(left.numel()) * static_cast<double>(right.numel()));
    if (right.dim() == 4 && left.dim() == 2)
        left = left.unsqueeze(-1).unsqueeze(-1);
    return torch::kron(left, right);
}

torch::Tensor unscaled_delta(const AdapterLayer& layer, const Target& target) {
    switch (layer.kind) {
        case AdapterKind::lora:
            return lora_delta(layer, target);
        case AdapterKind::loha:
            return loha_delta(layer, target);
        case AdapterKind::lokr:
            return lokr_delta(layer, target);
        case AdapterKind::full:
            return layer.has("diff") ? part(layer, "diff") : torch::zeros({target.numel});
    }
    TORCH_CHECK(false, "adapter kind out of range: ", static_cast<int>(layer.kind));
}

// Norms of a weight over all dimensions but `kept`, shaped to divide it.
torch::Tensor norms(const torch::Tensor& weight, int64_t kept) {
    std::vector<int64_t> shape(static_cast<size_t>(weight.dim()), 1);
    shape[static_cast<size_t>(kept)] = weight.size(kept);
    return weight.transpose(0, kept).flatten(1).norm(2, 1).view(shape);
}

// DoRA, eq. 5.
torch::Tensor redirected(const torch::Tensor& direction, const torch::Tensor& magnitude,
                         const std::string& where) {
    const bool by_input = magnitude.dim() > 1 && magnitude.size(0) == 1 &&
                          magnitude.size(1) == direction.size(1) && magnitude.size(1) > 1;
    const int64_t kept = by_input ? 1 : 0;
    if (magnitude.numel() != direction.size(kept))
        throw Error(where,
                    c10::str("its magnitudes ", magnitude.sizes(), " do not fit a layer of ",
                             direction.sizes()),
                    other_model);
    const torch::Tensor length = norms(direction, kept);
    return direction * (magnitude.to(torch::kFloat32).view(length.sizes()) / length);
}

}  // namespace

const char* name_of(AdapterKind kind) {
    switch (kind) {
        case AdapterKind::lora:
            return "LoRA";
        case AdapterKind::loha:
            return "LoHa";
        case AdapterKind::lokr:
            return "LoKr";
        case AdapterKind::full:
            return "full difference";
    }
    TORCH_CHECK(false, "adapter kind out of range: ", static_cast<int>(kind));
}

int64_t AdapterLayer::rank() const {
    for (const char* role : {"down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b"})
        if (const auto found = tensors.find(role);
            found != tensors.end() && found->second.dim() > 0)
            return found->second.size(0);
    return 0;
}

double AdapterLayer::scale() const {
    const auto r = static_cast<double>(rank());
    if (r == 0)
        return whole_scale;
    if (alpha == 0)
        return 1;
    return alpha / (rank_stabilised ? std::sqrt(r) : r);
}

torch::Tensor weight_delta(const AdapterLayer& layer, torch::IntArrayRef shape) {
    const int64_t numel = c10::multiply_integers(shape);
    torch::Tensor delta;
    try {
        delta = unscaled_delta(layer, {numel, layer.where});
    } catch (const c10::Error&) {
        throw Error(layer.where, "its tensors do not fit each other", other_model);
    }
    if (delta.numel() != numel)
        throw Error(layer.where, c10::str("makes ", delta.sizes(), " for a layer of ", shape),
                    other_model);
    return delta.reshape(shape) * layer.scale();
}

torch::Tensor adapted_weight(const torch::Tensor& weight, const AdapterLayer& layer,
                             double strength) {
    const torch::Tensor before = weight.to(torch::kFloat32);
    const torch::Tensor delta = weight_delta(layer, weight.sizes());
    const auto magnitude = layer.tensors.find("magnitude");
    if (magnitude == layer.tensors.end())
        return before + strength * delta;
    const torch::Tensor after = redirected(before + delta, magnitude->second, layer.where);
    return strength == 1 ? after : before + strength * (after - before);
}

torch::Tensor bias_delta(const AdapterLayer& layer, int64_t out) {
    if (!layer.has("bias"))
        return {};
    const torch::Tensor change = part(layer, "bias").flatten();
    if (change.numel() != out)
        throw Error(layer.where, c10::str("changes a bias of ", out, " by ", change.sizes()),
                    other_model);
    return layer.kind == AdapterKind::full ? change : layer.scale() * change;
}

torch::Tensor adapted_bias(const torch::Tensor& bias, const AdapterLayer& layer, double strength) {
    const torch::Tensor change = bias_delta(layer, bias.numel());
    const torch::Tensor before = bias.to(torch::kFloat32);
    return change.defined() ? before + strength * change : before;
}

bool runs_beside(const AdapterLayer& layer) {
    return layer.kind == AdapterKind::lora && !layer.has("magnitude");
}

LowRankFactors low_rank_factors(const AdapterLayer& layer, torch::IntArrayRef shape) {
    TORCH_CHECK(runs_beside(layer), layer.where, " has no two factors");
    std::vector<int64_t> down_shape = shape.vec();
    const int64_t out = down_shape.front();
    LowRankFactors factors{part(layer, "down"), part(layer, "up").flatten(1)};
    try {
        const Target target{c10::multiply_integers(shape), layer.where};
        if (layer.has("mid"))
            factors.down = inner_tucker(part(layer, "mid"), factors.down.flatten(1), target);
        down_shape.front() = factors.down.size(0);
        factors.down = factors.down.reshape(down_shape);
    } catch (const c10::Error&) {
        throw Error(layer.where, c10::str("its tensors do not make a layer of ", shape),
                    other_model);
    }
    if (factors.up.sizes() != torch::IntArrayRef({out, down_shape.front()}))
        throw Error(layer.where,
                    c10::str("its factor ", factors.up.sizes(), " makes no layer of ", shape),
                    other_model);
    factors.up = factors.up * layer.scale();
    return factors;
}

}  // namespace weft
