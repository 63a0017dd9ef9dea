#include "diffusion/prediction.h"

namespace weft {

torch::Tensor to_x0(Prediction prediction, const torch::Tensor& output, const torch::Tensor& x,
                    const NoiseLevel& level) {
    switch (prediction) {
        case Prediction::epsilon:
            return (x - output * level.sigma) / level.alpha;
        case Prediction::v:
            return x * level.alpha - output * level.sigma;
        case Prediction::sample:
            return output;
        case Prediction::flow:
            return (x - output * level.sigma) / (level.alpha + level.sigma);
    }
    TORCH_CHECK(false, "unknown prediction");
}

torch::Tensor to_noise(Prediction prediction, const torch::Tensor& output, const torch::Tensor& x,
                       const NoiseLevel& level) {
    switch (prediction) {
        case Prediction::epsilon:
            return output;
        case Prediction::v:
            return output * level.alpha + x * level.sigma;
        case Prediction::sample:
            return (x - output * level.alpha) / level.sigma;
        case Prediction::flow:
            return (x + output * level.alpha) / (level.alpha + level.sigma);
    }
    TORCH_CHECK(false, "unknown prediction");
}

torch::Tensor output_of(Prediction prediction, const torch::Tensor& x0, const torch::Tensor& x,
                        const NoiseLevel& level) {
    switch (prediction) {
        case Prediction::epsilon:
            return (x - x0 * level.alpha) / level.sigma;
        case Prediction::v:
            return (x * level.alpha - x0) / level.sigma;
        case Prediction::sample:
            return x0;
        case Prediction::flow:
            return (x - x0 * (level.alpha + level.sigma)) / level.sigma;
    }
    TORCH_CHECK(false, "unknown prediction");
}

torch::Tensor target_of(Prediction prediction, const torch::Tensor& x0, const torch::Tensor& noise,
                        const NoiseLevel& level) {
    switch (prediction) {
        case Prediction::epsilon:
            return noise;
        case Prediction::v:
            return noise * level.alpha - x0 * level.sigma;
        case Prediction::sample:
            return x0;
        case Prediction::flow:
            return noise - x0;
    }
    TORCH_CHECK(false, "unknown prediction");
}

}  // namespace weft
