#include "diffusion/coupling.h"

#include "diffusion/attention.h"

namespace weft {

std::string site_of(const Weights& weights) {
    std::string name = weights.full("");
    if (name.ends_with('.'))
        name.pop_back();
    return name;
}

torch::Tensor Coupling::attend(const Attention& attention, const torch::Tensor& states) {
    return attention(states, states);
}

bool Coupling::takes_features(const std::string& /*site*/) const {
    return false;
}

torch::Tensor Coupling::features(const std::string& /*site*/, const torch::Tensor& map) {
    return map;
}

}  // namespace weft
