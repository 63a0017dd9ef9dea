#pragma once

#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace weft::tests {

inline double correlation(const torch::Tensor& a, const torch::Tensor& b) {
    return (a * b).mean().item<double>() /
           std::sqrt((a * a).mean().item<double>() * (b * b).mean().item<double>());
}

/// Largest distance between the sample's distribution and N(0,1), times sqrt(samples): above 1.95
/// with probability 0.001 for independent samples of N(0,1).
inline double kolmogorov_smirnov(const torch::Tensor& sample) {
    const auto sorted = std::get<0>(sample.flatten().to(torch::kFloat64).sort());
    const auto count = sorted.numel();
    const auto expected = 0.5 * (1.0 + torch::erf(sorted / std::sqrt(2.0)));
    const auto above = torch::arange(1, count + 1, torch::kFloat64) / count - expected;
    const auto below = expected - torch::arange(0, count, torch::kFloat64) / count;
    return std::max(above.max().item<double>(), below.max().item<double>()) *
           std::sqrt(static_cast<double>(count));
}

/// Moran's I (1950) over the pixels beside and below each other of [c, h, w], in standard errors
/// under independence: the larger it is, the more neighbours are alike.
inline double morans_z(const torch::Tensor& noise) {
    const auto x = noise.to(torch::kFloat64) - noise.mean();
    const auto across = x.slice(2, 1) * x.slice(2, 0, -1);
    const auto down = x.slice(1, 1) * x.slice(1, 0, -1);
    const auto pairs = static_cast<double>(across.numel() + down.numel());
    const auto i =
        (across.sum() + down.sum()).item<double>() / pairs / x.square().mean().item<double>();
    return i * std::sqrt(pairs);
}

/// Mean and variance of a sample of N(0,1), in standard errors.
inline double mean_z(const torch::Tensor& noise) {
    return noise.mean().item<double>() * std::sqrt(static_cast<double>(noise.numel()));
}

inline double variance_z(const torch::Tensor& noise) {
    const auto count = static_cast<double>(noise.numel());
    return (noise.square().mean().item<double>() - 1) * std::sqrt(count / 2);
}

/// True where nothing speaks against independent N(0,1), each test at about p = 0.0001.
inline bool looks_white(const torch::Tensor& noise) {
    return std::abs(mean_z(noise)) < 4 && std::abs(variance_z(noise)) < 4 &&
           std::abs(morans_z(noise)) < 4 && kolmogorov_smirnov(noise) < 2.23;
}

}  // namespace weft::tests
