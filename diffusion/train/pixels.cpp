#include "diffusion/train/pixels.h"

#include <algorithm>
#include <cmath>

namespace weft {
namespace {

/// x with `pad` replicated samples at both ends of `dim`.
torch::Tensor extended(const torch::Tensor& x, int64_t dim, int64_t pad) {
    const int64_t size = x.size(dim);
    auto shape = x.sizes().vec();
    shape[dim] = pad;
    return torch::cat(
        {x.narrow(dim, 0, 1).expand(shape), x, x.narrow(dim, size - 1, 1).expand(shape)}, dim);
}

/// Symmetric weighted sum along `dim`; weights[0] is the centre's.
torch::Tensor tapped(const torch::Tensor& x, int64_t dim, const std::vector<double>& weights) {
    const auto radius = static_cast<int64_t>(weights.size()) - 1;
    const int64_t size = x.size(dim);
    const auto wide = extended(x, dim, radius);
    auto sum = x * weights[0];
    for (int64_t k = 1; k <= radius; ++k) {
        sum.add_(wide.narrow(dim, radius - k, size), weights[k]);
        sum.add_(wide.narrow(dim, radius + k, size), weights[k]);
    }
    return sum;
}

std::vector<double> gaussian_weights(double sigma) {
    const auto radius = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(2.5 * sigma)));
    std::vector<double> weights;
    double total = 0;
    for (int64_t k = 0; k <= radius; ++k) {
        weights.push_back(std::exp(-0.5 * static_cast<double>(k * k) / (sigma * sigma)));
        total += (k == 0 ? 1 : 2) * weights.back();
    }
    for (auto& weight : weights) {
        weight /= total;
    }
    return weights;
}

torch::Tensor resized(const torch::Tensor& x, int64_t height, int64_t width) {
    return at::upsample_bilinear2d(x, {height, width}, /*align_corners=*/false);
}

/// A well mixed 32-bit value for each 64-bit seed and index (after splitmix64).
torch::Tensor mixed(torch::Tensor x) {
    constexpr auto k_first = static_cast<int64_t>(0xbf58476d1ce4e5b9ULL);
    constexpr auto k_second = static_cast<int64_t>(0x94d049bb133111ebULL);
    x = (x ^ x.__rshift__(30)) * k_first;
    x = (x ^ x.__rshift__(27)) * k_second;
    return x ^ x.__rshift__(31);
}

}  // namespace

torch::Tensor blurred(const torch::Tensor& x, double sigma_px) {
    // Wide blurs run on a copy reduced by an even factor and are brought back bilinearly.
    const auto factor = static_cast<int64_t>(sigma_px >= 6 ? 4 : (sigma_px > 2 ? 2 : 1));
    if (factor == 1) {
        const auto weights = gaussian_weights(sigma_px);
        return tapped(tapped(x, 3, weights), 2, weights);
    }
    const int64_t height = x.size(2);
    const int64_t width = x.size(3);
    const auto small = at::adaptive_avg_pool2d(
        x, {std::max<int64_t>(1, height / factor), std::max<int64_t>(1, width / factor)});
    const auto weights = gaussian_weights(sigma_px / static_cast<double>(factor));
    return resized(tapped(tapped(small, 3, weights), 2, weights), height, width);
}

torch::Tensor mean_around(const torch::Tensor& x, int64_t radius_px) {
    const std::vector<double> weights(radius_px + 1, 1.0 / static_cast<double>(2 * radius_px + 1));
    return tapped(tapped(x, 3, weights), 2, weights);
}

torch::Tensor moved(const torch::Tensor& x, int64_t dy, int64_t dx) {
    auto y = x;
    if (dy != 0) {
        y = extended(y, 2, std::abs(dy)).narrow(2, std::abs(dy) + dy, x.size(2));
    }
    if (dx != 0) {
        y = extended(y, 3, std::abs(dx)).narrow(3, std::abs(dx) + dx, x.size(3));
    }
    return y;
}

torch::Tensor kuwahara(const torch::Tensor& picture, int64_t radius_px) {
    const int64_t near = radius_px / 2;
    const int64_t far = radius_px - near;
    // Mean colour and luma variance of the square around each px; squares are then picked by
    // moving.
    const auto grey = luma(picture);
    const auto means = mean_around(torch::cat({picture, grey, grey * grey}, 1), near);
    const auto variance = means.narrow(1, 4, 1) - means.narrow(1, 3, 1).square();
    const auto all = torch::cat({means.narrow(1, 0, 3), variance}, 1);
    auto best = moved(all, -far, -far);
    for (const auto& [dy, dx] : {std::pair<int64_t, int64_t>{-far, far}, {far, -far}, {far, far}}) {
        const auto other = moved(all, dy, dx);
        best = torch::where(other.narrow(1, 3, 1) < best.narrow(1, 3, 1), other, best);
    }
    return best.narrow(1, 0, 3);
}

torch::Tensor luma(const torch::Tensor& picture) {
    return picture.narrow(1, 0, 1) * 0.2126 + picture.narrow(1, 1, 1) * 0.7152 +
           picture.narrow(1, 2, 1) * 0.0722;
}

torch::Tensor saturated(const torch::Tensor& picture, double amount) {
    const auto grey = luma(picture);
    return grey + (picture - grey) * amount;
}

torch::Tensor smoothstep(const torch::Tensor& x, double low, double high) {
    const auto t = ((x - low) / (high - low)).clamp_(0, 1);
    return t * t * (3 - 2 * t);
}

torch::Tensor colour_of(double red, double green, double blue, const torch::Tensor& like) {
    return torch::tensor({red, green, blue}, torch::kFloat32).view({1, 3, 1, 1}).to(like.device());
}

torch::Tensor hashed(const std::vector<uint64_t>& seeds, int64_t channels, int64_t height,
                     int64_t width, const torch::Device& device) {
    const auto n = static_cast<int64_t>(seeds.size());
    auto starts = torch::empty({n, 1}, torch::kInt64);
    std::transform(seeds.begin(), seeds.end(), starts.data_ptr<int64_t>(), [](uint64_t seed) {
        return static_cast<int64_t>(seed * 0x9e3779b97f4a7c15ULL >> 2);
    });
    const auto index = torch::arange(channels * height * width,
                                     torch::TensorOptions(torch::kInt64).device(device));
    const auto bits = mixed(starts.to(device) + index.unsqueeze(0) * 0x9e3779b97f4a7c1LL);
    return (bits & 0xffffff)
        .to(torch::kFloat32)
        .div_(16777216.0)
        .view({n, channels, height, width});
}

torch::Tensor fractal(const std::vector<uint64_t>& seeds, int64_t height, int64_t width,
                      const FractalShape& shape, const torch::Device& device) {
    const double aspect = static_cast<double>(width) / static_cast<double>(height) / shape.stretch;
    auto sum = torch::zeros({static_cast<int64_t>(seeds.size()), 1, height, width},
                            torch::TensorOptions(torch::kFloat32).device(device));
    double amplitude = 1;
    double power = 0;
    for (int64_t octave = 0; octave < shape.octaves; ++octave) {
        const int64_t rows = shape.base << octave;
        const auto columns = std::max<int64_t>(2, std::llround(static_cast<double>(rows) * aspect));
        if (rows > height || columns > width) {
            break;
        }
        auto octave_seeds = seeds;
        for (auto& seed : octave_seeds) {
            seed += static_cast<uint64_t>(octave) * 7919;
        }
        const auto grid = hashed(octave_seeds, 1, rows, columns, device) - 0.5;
        // The last octaves are too fine to profit from cubic interpolation.
        sum.add_(octave < 3 ? at::upsample_bicubic2d(grid, {height, width}, /*align_corners=*/false)
                            : resized(grid, height, width),
                 amplitude);
        power += amplitude * amplitude;
        amplitude *= shape.gain;
    }
    // Uniform cells have a deviation of 0.29, interpolation leaves about 0.2 of it.
    return (sum * (0.95 / std::sqrt(std::max(power, 1e-6))) + 0.5).clamp_(0, 1);
}

}  // namespace weft
