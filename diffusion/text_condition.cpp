#include "diffusion/text_condition.h"

namespace weft {
namespace {

torch::Tensor expand_rows(const torch::Tensor& tensor, int64_t n) {
    if (!tensor.defined() || tensor.size(0) == n)
        return tensor;
    TORCH_CHECK(tensor.size(0) == 1, "conditioning for ", tensor.size(0), " frames given ", n);
    std::vector<int64_t> shape = tensor.sizes().vec();
    shape.front() = n;
    return tensor.expand(shape);
}

torch::Tensor select_rows(const torch::Tensor& tensor, const torch::Tensor& index) {
    return tensor.defined() ? tensor.index_select(0, index.to(tensor.device())) : tensor;
}

torch::Tensor join(const std::vector<TextCondition>& parts, torch::Tensor TextCondition::*member) {
    std::vector<torch::Tensor> tensors;
    for (const TextCondition& part : parts)
        if ((part.*member).defined())
            tensors.push_back(part.*member);
    TORCH_CHECK(tensors.empty() || tensors.size() == parts.size(),
                "texts with and without pooled vectors, sizes or LoRA strengths");
    return tensors.empty() ? torch::Tensor() : torch::cat(tensors);
}

}  // namespace

TextCondition TextCondition::rows(const torch::Tensor& index) const {
    const auto shared = [](const torch::Tensor& t) { return t.defined() && t.size(0) == 1; };
    return {.states = select_rows(states, index),
            .pooled = select_rows(pooled, index),
            .time_ids = shared(time_ids) ? time_ids : select_rows(time_ids, index),
            .loras = shared(loras) ? loras : select_rows(loras, index)};
}

TextCondition TextCondition::expanded(int64_t n) const {
    return {.states = expand_rows(states, n),
            .pooled = expand_rows(pooled, n),
            .time_ids = expand_rows(time_ids, n),
            .loras = expand_rows(loras, n)};
}

TextCondition TextCondition::cat(const std::vector<TextCondition>& parts) {
    return {.states = join(parts, &TextCondition::states),
            .pooled = join(parts, &TextCondition::pooled),
            .time_ids = join(parts, &TextCondition::time_ids),
            .loras = join(parts, &TextCondition::loras)};
}

torch::Tensor size_ids(int64_t height_px, int64_t width_px) {
    const auto h = static_cast<float>(height_px);
    const auto w = static_cast<float>(width_px);
    return torch::tensor({h, w, 0.0F, 0.0F, h, w}).unsqueeze(0);
}

torch::Tensor size_and_score_ids(int64_t height_px, int64_t width_px, double aesthetic_score) {
    const auto h = static_cast<float>(height_px);
    const auto w = static_cast<float>(width_px);
    const auto score = static_cast<float>(aesthetic_score);
    return torch::tensor({h, w, 0.0F, 0.0F, score}).unsqueeze(0);
}

}  // namespace weft
