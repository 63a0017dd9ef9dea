#include "temporal/edge_flow.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "temporal/flow.h"
#include "temporal/smoothing.h"

namespace weft {
namespace {

struct Place {
    int x;
    int y;
};

/// A picture as bytes, read with its border going on.
class Bytes {
  public:
    explicit Bytes(const torch::Tensor& picture)
        : bytes_((picture[0].to(torch::kCPU, torch::kFloat32).clamp(0, 1) * 255)
                     .round()
                     .to(torch::kUInt8)
                     .permute({1, 2, 0})
                     .contiguous()),
          height_(static_cast<int>(bytes_.size(0))),
          width_(static_cast<int>(bytes_.size(1))) {}

    int height() const { return height_; }

    int width() const { return width_; }

    const uint8_t* at(Place p) const {
        const int x = std::clamp(p.x, 0, width_ - 1);
        const int y = std::clamp(p.y, 0, height_ - 1);
        return bytes_.data_ptr<uint8_t>() + 3 * (static_cast<int64_t>(y) * width_ + x);
    }

    bool holds(Place p) const { return p.x >= 0 && p.x < width_ && p.y >= 0 && p.y < height_; }

    int64_t index(Place p) const { return static_cast<int64_t>(p.y) * width_ + p.x; }

  private:
    torch::Tensor bytes_;  // [h, w, 3]
    int height_;
    int width_;
};

/// Sum of the absolute differences of the channels, 0 to 765.
int difference(const uint8_t* a, const uint8_t* b) {
    return std::abs(a[0] - b[0]) + std::abs(a[1] - b[1]) + std::abs(a[2] - b[2]);
}

/// What a neighbour's word counts, by how much its colour differs: 256 exp(-difference / 30).
std::array<int, 766> make_support() {
    constexpr double falloff = 30;
    std::array<int, 766> support{};
    for (size_t i = 0; i < support.size(); ++i) {
        support[i] =
            static_cast<int>(std::lround(256 * std::exp(-static_cast<double>(i) / falloff)));
    }
    return support;
}

/// The pixels around that a pixel's surface is judged by: 5x5 of every other pixel.
constexpr std::array<int, 5> spread{-4, -2, 0, 2, 4};

/// Explains pixels of a target by offsets into a source.
class Judge {
  public:
    Judge(const torch::Tensor& target, const torch::Tensor& source)
        : target_(target), source_(source), support_(make_support()) {}

    const Bytes& target() const { return target_; }

    /// Prepares to judge offsets for the surface at `p`.
    void look_at(Place p) {
        here_ = p;
        total_ = 0;
        size_t i = 0;
        const auto* own = target_.at(p);
        for (const int dy : spread) {
            for (const int dx : spread) {
                const auto* there = target_.at({p.x + dx, p.y + dy});
                around_[i] = there;
                weights_[i] = support_[difference(own, there)];
                total_ += weights_[i++];
            }
        }
    }

    /// Weighted mean difference where the surface is moved by whole pixels, in 1/256 of a code
    /// value, all channels summed; single outliers count at most `most`.
    int64_t misfit(Place offset) const {
        constexpr int most = 90;
        int64_t sum = 0;
        size_t i = 0;
        for (const int dy : spread) {
            for (const int dx : spread) {
                const auto* there = source_.at({here_.x + dx + offset.x, here_.y + dy + offset.y});
                sum += weights_[i] * std::min(most, difference(around_[i], there));
                ++i;
            }
        }
        return 256 * sum / total_;
    }

  private:
    Bytes target_;
    Bytes source_;
    std::array<int, 766> support_;
    Place here_{0, 0};
    std::array<const uint8_t*, 25> around_{};
    std::array<int, 25> weights_{};
    int64_t total_ = 1;
};

/// Pixels that the flow explains badly, and those near them.
torch::Tensor badly_explained(const torch::Tensor& offset, const torch::Tensor& target,
                              const torch::Tensor& source) {
    constexpr double badly = 0.05;
    constexpr int64_t reach = 3;
    const auto misfit = box_mean((target - warp(source, offset)).abs().mean(1, true), 1);
    return dilated(misfit > badly, reach)[0][0].to(torch::kCPU).contiguous();
}

/// An offset that a pixel may take over from a neighbour.
struct Candidate {
    float x;
    float y;
};

Place rounded(Candidate c) {
    // Wild offsets are cut where they leave any picture anyway.
    const auto whole = [](float v) {
        return static_cast<int>(std::lround(std::clamp(v, -16384.0F, 16384.0F)));
    };
    return {whole(c.x), whole(c.y)};
}

constexpr std::array<Place, 16> neighbours{{{-3, 0},
                                            {3, 0},
                                            {0, -3},
                                            {0, 3},
                                            {-6, 0},
                                            {6, 0},
                                            {0, -6},
                                            {0, 6},
                                            {-10, 0},
                                            {10, 0},
                                            {0, -10},
                                            {0, 10},
                                            {-5, -5},
                                            {5, -5},
                                            {-5, 5},
                                            {5, 5}}};

/// The best of a pixel's own offset and its neighbours'.
Candidate best_offset(Judge& judge, const float* x, const float* y, Place p) {
    const Candidate own{x[judge.target().index(p)], y[judge.target().index(p)]};
    judge.look_at(p);
    auto best = own;
    // A newcomer must be better by a tenth and by two code values a channel.
    constexpr int64_t margin = 2 * 3 * 256;
    auto limit = judge.misfit(rounded(own)) * 9 / 10 - margin;
    auto last = rounded(own);
    for (const Place& away : neighbours) {
        const Place q{p.x + away.x, p.y + away.y};
        if (limit <= 0) {
            break;
        }
        if (!judge.target().holds(q)) {
            continue;
        }
        const Candidate other{x[judge.target().index(q)], y[judge.target().index(q)]};
        const auto move = rounded(other);
        if (move.x == last.x && move.y == last.y) {
            continue;
        }
        last = move;
        const auto cost = judge.misfit(move);
        if (cost < limit) {
            limit = cost;
            best = other;
        }
    }
    return best;
}

/// The middle one of nine.
float median(std::array<float, 9> values) {
    std::nth_element(values.begin(), values.begin() + 4, values.end());
    return values[4];
}

/// Medians of 3x3 pixels for the touched pixels of a plane: single pixels follow their neighbours.
void settle(const float* from, float* to, const bool* touched, const Bytes& grid) {
    for (int y = 0; y < grid.height(); ++y) {
        for (int x = 0; x < grid.width(); ++x) {
            const auto i = grid.index({x, y});
            if (!touched[i]) {
                to[i] = from[i];
                continue;
            }
            std::array<float, 9> around{};
            for (int k = 0; k < 9; ++k) {
                around[k] = from[grid.index({std::clamp(x + k % 3 - 1, 0, grid.width() - 1),
                                             std::clamp(y + k / 3 - 1, 0, grid.height() - 1)})];
            }
            to[i] = median(around);
        }
    }
}

}  // namespace

torch::Tensor edge_aligned(const torch::Tensor& offset, const torch::Tensor& target,
                           const torch::Tensor& source) {
    TORCH_CHECK(offset.size(0) == 1 && target.sizes() == source.sizes(), "flow ", offset.sizes(),
                ", target ", target.sizes(), ", source ", source.sizes());
    const auto touched = badly_explained(offset, target, source);
    const auto from = offset.to(torch::kCPU, torch::kFloat32).contiguous();
    auto chosen = from.clone();
    Judge judge(target, source);
    const auto pixels = from.size(2) * from.size(3);
    const float* x = from.data_ptr<float>();
    float* out = chosen.data_ptr<float>();
    const bool* here = touched.data_ptr<bool>();
    for (int row = 0; row < judge.target().height(); ++row) {
        for (int column = 0; column < judge.target().width(); ++column) {
            const auto i = judge.target().index({column, row});
            if (here[i]) {
                const auto best = best_offset(judge, x, x + pixels, {column, row});
                out[i] = best.x;
                out[i + pixels] = best.y;
            }
        }
    }
    auto result = torch::empty_like(chosen);
    settle(out, result.data_ptr<float>(), here, judge.target());
    settle(out + pixels, result.data_ptr<float>() + pixels, here, judge.target());
    return result.to(offset.device());
}

torch::Tensor moves_with_others(const torch::Tensor& offset) {
    constexpr int least = 3;
    const auto flow = offset.to(torch::kCPU, torch::kFloat32);
    const auto height = flow.size(2);
    const auto width = flow.size(3);
    // Padded by what no pixel moves like.
    const auto padded = at::constant_pad_nd(flow, {1, 1, 1, 1}, 1e9);
    auto count = torch::zeros({1, 1, height, width}, torch::kInt32);
    for (int64_t k = 0; k < 9; ++k) {
        if (k != 4) {
            const auto other =
                padded.slice(2, k / 3, k / 3 + height).slice(3, k % 3, k % 3 + width);
            count += ((other - flow).abs() < 1).all(1, true);
        }
    }
    return (count >= least).to(offset.device());
}

torch::Tensor edge_aligned_mask(const torch::Tensor& mask, const torch::Tensor& picture) {
    TORCH_CHECK(mask.scalar_type() == torch::kBool && mask.size(0) == 1, "mask ", mask.sizes());
    const auto border = (dilated(mask, 2) & dilated(~mask, 2))[0][0].to(torch::kCPU).contiguous();
    const auto from = mask.to(torch::kCPU).contiguous();
    auto result = from.clone();
    const Bytes bytes(picture);
    const auto support = make_support();
    const bool* held = from.data_ptr<bool>();
    const bool* near = border.data_ptr<bool>();
    const auto follow = [&](Place p) {
        int balance = 0;
        for (int dy = -2; dy <= 2; ++dy) {
            for (int dx = -2; dx <= 2; ++dx) {
                const Place q{p.x + dx, p.y + dy};
                if (bytes.holds(q)) {
                    const int weight = support[difference(bytes.at(p), bytes.at(q))];
                    balance += held[bytes.index(q)] ? weight : -weight;
                }
            }
        }
        return balance > 0;
    };
    for (int y = 0; y < bytes.height(); ++y) {
        for (int x = 0; x < bytes.width(); ++x) {
            const auto i = bytes.index({x, y});
            if (near[i]) {
                result.data_ptr<bool>()[i] = follow({x, y});
            }
        }
    }
    return result.to(mask.device());
}

}  // namespace weft
