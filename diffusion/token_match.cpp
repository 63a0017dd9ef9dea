#include "diffusion/token_match.h"

#include <algorithm>
#include <vector>

namespace weft {

torch::Tensor unit_tokens(const torch::Tensor& states) {
    const torch::Tensor x = states.to(torch::kFloat32);
    return x / x.norm(2, -1, /*keepdim=*/true).clamp_min(1e-12);
}

torch::Tensor nearest_tokens(const torch::Tensor& tokens, const torch::Tensor& others) {
    constexpr int64_t most = (16 << 20) / sizeof(float);
    const int64_t block = std::max<int64_t>(1, most / std::max<int64_t>(1, others.size(0)));
    const torch::Tensor turned = others.t();
    std::vector<torch::Tensor> places;
    for (const torch::Tensor& part : tokens.split(block))
        places.push_back(torch::matmul(part, turned).argmax(1));
    return torch::cat(places);
}

}  // namespace weft
