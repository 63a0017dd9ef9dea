#include "temporal/noise_warp.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

namespace weft {
namespace {

/// A flow of one picture as plain numbers.
class FlowReader {
  public:
    FlowReader(const FlowField& flow, int64_t height, int64_t width)
        : offset_(flow.offset.to(torch::kCPU, torch::kFloat32).contiguous()),
          valid_(flow.valid.to(torch::kCPU).contiguous()),
          x_(offset_.data_ptr<float>()),
          y_(x_ + height * width),
          held_(valid_.data_ptr<bool>()) {
        TORCH_CHECK(offset_.sizes() == torch::IntArrayRef({1, 2, height, width}) &&
                        valid_.sizes() == torch::IntArrayRef({1, 1, height, width}),
                    "flow ", offset_.sizes(), " for noise of ", height, "x", width);
    }

    double x(int64_t pixel) const { return x_[pixel]; }

    double y(int64_t pixel) const { return y_[pixel]; }

    bool valid(int64_t pixel) const { return held_[pixel]; }

  private:
    torch::Tensor offset_;
    torch::Tensor valid_;
    const float* x_;
    const float* y_;
    const bool* held_;
};

/// A target's claim to a part of a source pixel.
struct Claim {
    int64_t target;
    double weight;
};

/// The claims to each source pixel, in the order of the targets.
class Claims {
  public:
    explicit Claims(int64_t pixels) : of_(pixels) {}

    void add(int64_t source, int64_t target, double weight) {
        of_[source].push_back({target, weight});
        ++count_;
    }

    const std::vector<Claim>& of(int64_t source) const { return of_[source]; }

    int64_t count() const { return count_; }

  private:
    std::vector<std::vector<Claim>> of_;
    int64_t count_ = 0;
};

/// The four pixels around where each valid target comes from, by their bilinear shares.
Claims bilinear_claims(const FlowReader& flow, int64_t height, int64_t width) {
    // Smaller shares are rounding of the flow's arithmetic.
    constexpr double least_share = 1e-3;
    Claims claims(height * width);
    const auto claim = [&](int64_t target, int64_t x, int64_t y, double share) {
        if (share > least_share && x >= 0 && y >= 0 && x < width && y < height) {
            claims.add(y * width + x, target, share);
        }
    };
    for (int64_t target = 0; target < height * width; ++target) {
        if (!flow.valid(target)) {
            continue;
        }
        const int64_t row = target / width;
        const double x = static_cast<double>(target % width) + flow.x(target);
        const double y = static_cast<double>(row) + flow.y(target);
        const auto left = static_cast<int64_t>(std::floor(x));
        const auto top = static_cast<int64_t>(std::floor(y));
        const double right_share = x - static_cast<double>(left);
        const double bottom_share = y - static_cast<double>(top);
        claim(target, left, top, (1 - right_share) * (1 - bottom_share));
        claim(target, left + 1, top, right_share * (1 - bottom_share));
        claim(target, left, top + 1, (1 - right_share) * bottom_share);
        claim(target, left + 1, top + 1, right_share * bottom_share);
    }
    return claims;
}

/// The pixel nearest to where a flow leads; -1 where it is invalid or leads out.
int64_t nearest(const FlowReader& flow, int64_t pixel, int64_t height, int64_t width) {
    if (!flow.valid(pixel)) {
        return -1;
    }
    const int64_t row = pixel / width;
    const auto x = std::llround(static_cast<double>(pixel % width) + flow.x(pixel));
    const auto y = std::llround(static_cast<double>(row) + flow.y(pixel));
    return x >= 0 && y >= 0 && x < width && y < height ? y * width + x : -1;
}

/// Forward edges, and a backward edge for each target that none reaches. All pieces of a source are
/// alike.
Claims transport_claims(const FlowReader& forward, const FlowReader& backward, int64_t height,
                        int64_t width) {
    const int64_t pixels = height * width;
    Claims claims(pixels);
    std::vector<bool> reached(pixels, false);
    for (int64_t source = 0; source < pixels; ++source) {
        const int64_t target = nearest(forward, source, height, width);
        if (target >= 0) {
            claims.add(source, target, 1);
            reached[target] = true;
        }
    }
    for (int64_t target = 0; target < pixels; ++target) {
        const int64_t source = reached[target] ? -1 : nearest(backward, target, height, width);
        if (source >= 0) {
            claims.add(source, target, 1);
        }
    }
    return claims;
}

double total_weight(const std::vector<Claim>& claims) {
    double total = 0;
    for (const Claim& claim : claims) {
        total += claim.weight;
    }
    return total;
}

/// Cuts one pixel along a Brownian bridge from 0 to `value`: B(t2) given B(t1) = b is
/// N((1-t2)/(1-t1) b + (t2-t1)/(1-t1) value, (t2-t1)(1-t2)/(1-t1)). The increments, one a claim,
/// are independent N(0, t2-t1) over the draws of `value`, and sum up to it.
void cut_by_bridge(double value, const std::vector<Claim>& claims, const float* normals,
                   double* sums) {
    const double total = total_weight(claims);
    double time = 0;
    double level = 0;
    for (size_t i = 0; i < claims.size(); ++i) {
        const bool last = i + 1 == claims.size();
        const double next_time = last ? 1 : time + claims[i].weight / total;
        const double left = 1 - time;
        const double step = (next_time - time) / left;
        const double spread = std::sqrt(std::max(0.0, (next_time - time) * (1 - step)));
        const double next_level =
            last ? value : level + step * (value - level) + spread * normals[i];
        sums[claims[i].target] += next_level - level;
        time = next_time;
        level = next_level;
    }
}

/// Cuts one pixel into equal pieces, value/d + (z - mean z)/sqrt(d), and adds them times `density`.
void cut_evenly(double value, const std::vector<Claim>& claims, const float* normals,
                double density, double* sums) {
    const auto pieces = static_cast<double>(claims.size());
    double mean = 0;
    for (size_t i = 0; i < claims.size(); ++i) {
        mean += normals[i] / pieces;
    }
    for (size_t i = 0; i < claims.size(); ++i) {
        sums[claims[i].target] +=
            density * (value / pieces + (normals[i] - mean) / std::sqrt(pieces));
    }
}

/// sums / sqrt(variance), and fresh noise where the variance is 0.
torch::Tensor normalised(const torch::Tensor& sums, const torch::Tensor& variance,
                         const torch::Tensor& fresh) {
    const auto scaled = sums / variance.sqrt();  // [c, h, w] f64
    return torch::where(variance > 0, scaled.to(torch::kFloat32), fresh);
}

/// Densities of the next frame, around 1. Any positive weights keep noise white, so limits cost
/// nothing but keep a long zoom within float's range.
torch::Tensor settled(const torch::Tensor& arrived) {
    constexpr double most = 1e4;
    const auto density = torch::where(arrived > 0, arrived, 1.0);
    return (density / density.mean()).clamp(1 / most, most).to(torch::kFloat32);
}

void check(const MovingNoise& from, const NoiseWarpDraws& draws) {
    TORCH_CHECK(
        from.noise.dim() == 3 && from.noise.is_cpu() && from.noise.scalar_type() == torch::kFloat32,
        "noise of shape ", from.noise.sizes());
    TORCH_CHECK(draws.fresh.sizes() == from.noise.sizes(), "fresh noise of shape ",
                draws.fresh.sizes(), " for ", from.noise.sizes());
    TORCH_CHECK(from.density.sizes() == from.noise.sizes().slice(1), "density of shape ",
                from.density.sizes());
}

/// Calls cut(value, claims, normals, source, sums) for each claimed pixel of each channel.
template <class Cut>
torch::Tensor hand_out(const torch::Tensor& noise, const Claims& claims, const NoiseKey& key,
                       const Cut& cut) {
    const auto channels = noise.size(0);
    const auto pixels = noise.size(1) * noise.size(2);
    const auto values = noise.contiguous();
    const auto normals = normal_noise(key, {channels, std::max<int64_t>(1, claims.count())});
    auto sums = torch::zeros(noise.sizes(), torch::kFloat64);
    for (int64_t c = 0; c < channels; ++c) {
        const float* value = values.data_ptr<float>() + c * pixels;
        const float* normal = normals.data_ptr<float>() + c * normals.size(1);
        double* sum = sums.data_ptr<double>() + c * pixels;
        for (int64_t source = 0; source < pixels; ++source) {
            const auto& parts = claims.of(source);
            if (!parts.empty()) {
                cut(value[source], parts, normal, source, sum);
                normal += parts.size();
            }
        }
    }
    return sums;
}

}  // namespace

MovingNoise at_rest(const torch::Tensor& noise) {
    return {noise, torch::ones(noise.sizes().slice(1), torch::kFloat32)};
}

MovingNoise warp_by_particles(const MovingNoise& from, const FlowPair& flow,
                              const NoiseWarpDraws& draws) {
    check(from, draws);
    const auto height = from.noise.size(1);
    const auto width = from.noise.size(2);
    const auto claims = bilinear_claims(FlowReader(flow.backward, height, width), height, width);
    const auto sums =
        hand_out(from.noise, claims, draws.pieces,
                 [](double value, const auto& parts, const float* normals, int64_t /*source*/,
                    double* sum) { cut_by_bridge(value, parts, normals, sum); });
    auto area = torch::zeros({height, width}, torch::kFloat64);
    for (int64_t source = 0; source < height * width; ++source) {
        const double total = total_weight(claims.of(source));
        for (const Claim& claim : claims.of(source)) {
            area.data_ptr<double>()[claim.target] += claim.weight / total;
        }
    }
    return {normalised(sums, area, draws.fresh), from.density};
}

MovingNoise warp_by_transport(const MovingNoise& from, const FlowPair& flow,
                              const NoiseWarpDraws& draws) {
    check(from, draws);
    const auto height = from.noise.size(1);
    const auto width = from.noise.size(2);
    const auto claims = transport_claims(FlowReader(flow.forward, height, width),
                                         FlowReader(flow.backward, height, width), height, width);
    const auto density = from.density.contiguous();
    const auto share = [&](int64_t source, size_t pieces) {
        return static_cast<double>(density.data_ptr<float>()[source]) / static_cast<double>(pieces);
    };
    const auto sums = hand_out(
        from.noise, claims, draws.pieces,
        [&](double value, const auto& parts, const float* normals, int64_t source, double* sum) {
            cut_evenly(value, parts, normals, share(source, parts.size()), sum);
        });
    // A piece weighs a = density/d and has the variance a^2/d.
    auto variance = torch::zeros({height, width}, torch::kFloat64);
    auto arrived = torch::zeros({height, width}, torch::kFloat64);
    for (int64_t source = 0; source < height * width; ++source) {
        const auto& parts = claims.of(source);
        for (const Claim& claim : parts) {
            const double a = share(source, parts.size());
            arrived.data_ptr<double>()[claim.target] += a;
            variance.data_ptr<double>()[claim.target] += a * a / static_cast<double>(parts.size());
        }
    }
    return {normalised(sums, variance, draws.fresh), settled(arrived)};
}

}  // namespace weft
