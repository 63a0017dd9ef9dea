#include "diffusion/train/optimizer.h"

#include <c10/util/StringUtil.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "io/files/error.h"

namespace weft {

Optimizer::Optimizer(const NamedTensors& parameters, const StageRecipe& recipe)
    : weight_decay_(recipe.weight_decay),
      clip_norm_(recipe.clip_norm),
      ema_decay_(recipe.ema_decay) {
    for (const auto& [name, weight] : parameters) {
        names_.push_back(name);
        weights_.push_back(weight);
        average_.push_back(weight.detach().clone());
        first_.push_back(torch::zeros_like(weight.detach()));
        second_.push_back(torch::zeros_like(weight.detach()));
        step_counts_.push_back(
            torch::zeros({}, torch::dtype(torch::kFloat32).device(weight.device())));
    }
}

double Optimizer::step(double learning_rate) {
    const torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> gradients;
    gradients.reserve(weights_.size());
    for (const torch::Tensor& weight : weights_) {
        gradients.push_back(weight.grad().defined() ? weight.grad() : torch::zeros_like(weight));
    }
    const auto norm = torch::stack(at::_foreach_norm(gradients)).norm().item<double>();
    if (std::isfinite(norm)) {
        if (norm > clip_norm_) {
            at::_foreach_mul_(gradients, clip_norm_ / (norm + 1e-6));
        }
        at::_foreach_add_(step_counts_, 1.0);
        at::_fused_adamw_(weights_, gradients, first_, second_, {}, step_counts_, learning_rate,
                          /*beta1=*/0.9, /*beta2=*/0.99, weight_decay_, /*eps=*/1e-8,
                          /*amsgrad=*/false, /*maximize=*/false);
        ++steps_;
        // Early on the average follows closely, so that it does not remember the random start.
        const double decay = std::min(
            ema_decay_, (1.0 + static_cast<double>(steps_)) / (10.0 + static_cast<double>(steps_)));
        at::_foreach_lerp_(average_, weights_, 1.0 - decay);
    }
    for (torch::Tensor& weight : weights_) {
        weight.mutable_grad().reset();
    }
    return norm;
}

int64_t Optimizer::steps() const {
    return steps_;
}

NamedTensors Optimizer::averaged() const {
    NamedTensors tensors;
    for (size_t i = 0; i < names_.size(); ++i) {
        tensors.emplace_back(names_[i], average_[i]);
    }
    return tensors;
}

NamedTensors Optimizer::state() const {
    NamedTensors tensors;
    for (size_t i = 0; i < names_.size(); ++i) {
        tensors.emplace_back("weight." + names_[i], weights_[i].detach());
        tensors.emplace_back("average." + names_[i], average_[i]);
        tensors.emplace_back("adam.first." + names_[i], first_[i]);
        tensors.emplace_back("adam.second." + names_[i], second_[i]);
    }
    return tensors;
}

void Optimizer::restore(const SafeTensors& file, int64_t steps) {
    const torch::NoGradGuard no_grad;
    const auto take = [&](const std::string& name, torch::Tensor& target) {
        if (!file.has(name) || file.tensor(name).sizes() != target.sizes()) {
            throw Error(file.path().string(),
                        "the checkpoint has no '" + name + "' of the recipe's shape",
                        "it belongs to another recipe; delete it to start again");
        }
        target.copy_(file.tensor(name));
    };
    for (size_t i = 0; i < names_.size(); ++i) {
        take("weight." + names_[i], weights_[i]);
        take("average." + names_[i], average_[i]);
        take("adam.first." + names_[i], first_[i]);
        take("adam.second." + names_[i], second_[i]);
        step_counts_[i].fill_(static_cast<double>(steps));
    }
    steps_ = steps;
}

double cosine_rate(double peak, int64_t step, int64_t warmup, double done) {
    const double ramp =
        warmup > 0 ? std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(warmup))
                   : 1.0;
    const double wave = 0.5 * (1.0 + std::cos(std::numbers::pi * std::clamp(done, 0.0, 1.0)));
    return peak * ramp * (0.01 + 0.99 * wave);
}

}  // namespace weft
