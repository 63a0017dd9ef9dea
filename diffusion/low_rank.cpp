#include "diffusion/low_rank.h"

#include <utility>
#include <vector>

#include "diffusion/packed.h"
#include "io/files/weights.h"

namespace weft {

namespace {

torch::Tensor& strengths_now() {
    static thread_local torch::Tensor strengths;
    return strengths;
}

// [1 or n, k]: the strengths of the LoRAs that k columns belong to.
torch::Tensor strengths_of(const torch::Tensor& columns, const torch::Tensor& like) {
    return strengths_now().index_select(1, columns).to(like.scalar_type());
}

// [1 or n, k] -> [1 or n, 1, ..., k], to act on x [rows, ..., k].
torch::Tensor by_row(const torch::Tensor& values, const torch::Tensor& x) {
    TORCH_CHECK(values.size(0) == 1 || x.size(0) == 1 || values.size(0) == x.size(0),
                "LoRA strengths of ", values.size(0), " rows for ", x.sizes());
    std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
    shape.front() = values.size(0);
    shape.back() = values.size(1);
    return values.view(shape);
}

// y + change, in place where nobody minds; change may have more rows than y.
torch::Tensor sum(const torch::Tensor& y, const torch::Tensor& change) {
    if (y.sizes() == change.sizes() && !needs_gradient(y) && !needs_gradient(change))
        return y.add_(change);
    return y + change;
}

torch::Tensor tensor_if_there(const Weights& layer, const char* name) {
    return layer.has(name) ? layer.at(name, layer.shape(name)) : torch::Tensor();
}

}  // namespace

LoraStrengths::LoraStrengths(torch::Tensor strengths)
    : before_(std::exchange(strengths_now(), std::move(strengths))) {}

LoraStrengths::~LoraStrengths() {
    strengths_now() = std::move(before_);
}

std::shared_ptr<const LowRank> LowRank::beside(const Weights& layer) {
    const bool there = !layer.creating() && layer.has(down_name);
    return there ? std::make_shared<const LowRank>(layer) : nullptr;
}

LowRank::LowRank(const Weights& layer)
    : down_(tensor_if_there(layer, down_name)),
      up_(tensor_if_there(layer, up_name)),
      lora_(tensor_if_there(layer, lora_name)),
      bias_(tensor_if_there(layer, bias_name)),
      bias_lora_(tensor_if_there(layer, bias_lora_name)) {
    TORCH_CHECK(down_.dim() >= 2 && up_.dim() == 2 && up_.size(1) == down_.size(0) &&
                    lora_.sizes() == torch::IntArrayRef({down_.size(0)}),
                layer.full(down_name), " ", down_.sizes(), ", ", up_name, " ", up_.sizes());
}

// hidden [rows, ..., r] -> [rows, ..., out]
torch::Tensor LowRank::raised(const torch::Tensor& hidden) const {
    if (!strengths_now().defined())
        return torch::linear(hidden, up_, bias_.defined() ? bias_.sum(0) : bias_);
    const torch::Tensor weighed = hidden * by_row(strengths_of(lora_, hidden), hidden);
    const torch::Tensor y = torch::linear(weighed, up_);
    return bias_.defined() ? y + by_row(strengths_of(bias_lora_, y).matmul(bias_), y) : y;
}

torch::Tensor LowRank::change(const torch::Tensor& x) const {
    return raised(torch::linear(x, down_.flatten(1)));
}

torch::Tensor LowRank::onto(const torch::Tensor& y, const torch::Tensor& x) const {
    return sum(y, change(x));
}

torch::Tensor LowRank::onto_map(const torch::Tensor& y, const torch::Tensor& x, int64_t stride,
                                int64_t padding) const {
    const torch::Tensor hidden = torch::conv2d(x, down_, {}, stride, padding);  // [rows, r, h', w']
    const torch::Tensor change = raised(hidden.permute({0, 2, 3, 1})).permute({0, 3, 1, 2});
    return sum(y, change);
}

}  // namespace weft
