#include "temporal/edge_flow.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <utility>
#include <vector>

#include "temporal/flow.h"
#include "temporal/smoothing.h"

namespace weft {
namespace {

struct Place {
    int x;
    int y;

    friend bool operator==(const Place&, const Place&) = default;
};

/// The pixels around that a pixel's surface is judged by: 5x5 of every other pixel.
constexpr std::array<int, 5> spread{-4, -2, 0, 2, 4};
constexpr int margin = 4;  // how far they reach
constexpr int pixel_bytes = 4;

/// A picture as bytes RGB0 with a margin in which its border goes on.
class Bytes {
  public:
    explicit Bytes(const torch::Tensor& picture)
        : height_(static_cast<int>(picture.size(2))),
          width_(static_cast<int>(picture.size(3))),
          bytes_(static_cast<size_t>(pixel_bytes) * (height_ + 2 * margin) * stride()) {
        const auto plain = picture.to(torch::kCPU, torch::kFloat32).contiguous();
        const auto plane = static_cast<int64_t>(height_) * width_;
        const float* from = plain.data_ptr<float>();
        uint8_t* to = bytes_.data();
        for (int y = -margin; y < height_ + margin; ++y) {
            const float* row = from + std::clamp(y, 0, height_ - 1) * static_cast<int64_t>(width_);
            for (int x = -margin; x < width_ + margin; ++x, to += pixel_bytes) {
                const float* pixel = row + std::clamp(x, 0, width_ - 1);
                for (int c = 0; c < 3; ++c) {
                    // Half code values, rounded up to whole ones.
                    to[c] = static_cast<uint8_t>(
                        (static_cast<int>(std::clamp(pixel[c * plane], 0.0F, 1.0F) * 510) + 1) / 2);
                }
            }
        }
    }

    int height() const { return height_; }

    int width() const { return width_; }

    int stride() const { return width_ + 2 * margin; }

    /// A place in the picture or its margin.
    const uint8_t* at(Place p) const {
        return bytes_.data() +
               pixel_bytes * (static_cast<int64_t>(p.y + margin) * stride() + p.x + margin);
    }

    /// The nearest place that the picture holds.
    Place nearest(Place p) const {
        return {std::clamp(p.x, 0, width_ - 1), std::clamp(p.y, 0, height_ - 1)};
    }

    bool holds(Place p) const { return p.x >= 0 && p.x < width_ && p.y >= 0 && p.y < height_; }

    int64_t index(Place p) const { return static_cast<int64_t>(p.y) * width_ + p.x; }

    /// How far away in memory the pixels of the spread lie.
    std::array<int, 25> spread_steps() const {
        std::array<int, 25> steps{};
        size_t i = 0;
        for (const int dy : spread) {
            for (const int dx : spread) {
                steps[i++] = pixel_bytes * (dy * stride() + dx);
            }
        }
        return steps;
    }

  private:
    int height_;
    int width_;
    std::vector<uint8_t> bytes_;  // [h + 8, w + 8, 4]
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

/// Explains pixels of a target by offsets into a source.
class Judge {
  public:
    Judge(const torch::Tensor& target, const torch::Tensor& source)
        : target_(target),
          source_(source),
          support_(make_support()),
          steps_(target_.spread_steps()) {}

    const Bytes& target() const { return target_; }

    /// Prepares to judge offsets for the surface at `p`.
    void look_at(Place p) {
        here_ = p;
        own_ = target_.at(p);
        total_ = 0;
        for (size_t i = 0; i < steps_.size(); ++i) {
            weights_[i] = support_[difference(own_, own_ + steps_[i])];
            total_ += weights_[i];
        }
    }

    /// Weighted mean difference where the surface is moved by whole pixels, in 1/256 of a code
    /// value, all channels summed; single outliers count at most `most`. Anything not below `limit`
    /// where it comes to that.
    int64_t misfit(Place offset, int64_t limit = std::numeric_limits<int32_t>::max()) const {
        constexpr int most = 90;
        const auto* there = source_.at(source_.nearest({here_.x + offset.x, here_.y + offset.y}));
        int sum = 0;
        for (size_t row = 0; row < steps_.size(); row += spread.size()) {
            for (size_t i = row; i < row + spread.size(); ++i) {
                sum +=
                    weights_[i] * std::min(most, difference(own_ + steps_[i], there + steps_[i]));
            }
            if (int64_t{256} * sum >= limit * total_) {
                break;
            }
        }
        return int64_t{256} * sum / total_;
    }

  private:
    Bytes target_;
    Bytes source_;
    std::array<int, 766> support_;
    std::array<int, 25> steps_;
    Place here_{0, 0};
    const uint8_t* own_ = nullptr;
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

/// Offsets in whole pixels, [h w].
std::vector<Place> in_whole_pixels(const torch::Tensor& offset) {
    // Wild offsets are cut where they leave any picture anyway.
    constexpr double most = 16384;
    const auto whole = offset.clamp(-most, most).round().to(torch::kInt32).contiguous();
    const auto pixels = whole.size(2) * whole.size(3);
    const int32_t* x = whole.data_ptr<int32_t>();
    std::vector<Place> moves(pixels);
    for (int64_t i = 0; i < pixels; ++i) {
        moves[i] = {x[i], x[i + pixels]};
    }
    return moves;
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

/// Where the best of a pixel's own offset and its neighbours' stands.
int64_t best_offset(Judge& judge, const std::vector<Place>& moves, Place p) {
    const Bytes& grid = judge.target();
    judge.look_at(p);
    int64_t best = grid.index(p);
    // A newcomer must be better by a tenth and by two code values a channel.
    constexpr int64_t least_gain = int64_t{2} * 3 * 256;
    auto limit = judge.misfit(moves[best]) * 9 / 10 - least_gain;
    std::array<Place, neighbours.size() + 1> tried{moves[best]};
    auto end = tried.begin() + 1;
    for (const Place& away : neighbours) {
        const Place q{p.x + away.x, p.y + away.y};
        if (limit <= 0) {
            break;
        }
        if (!grid.holds(q)) {
            continue;
        }
        const Place move = moves[grid.index(q)];
        if (std::find(tried.begin(), end, move) != end) {
            continue;
        }
        *end++ = move;
        const auto cost = judge.misfit(move, limit);
        if (cost < limit) {
            limit = cost;
            best = grid.index(q);
        }
    }
    return best;
}

/// Puts the lower one first.
void sort(float& a, float& b) {
    const float low = std::min(a, b);
    b = std::max(a, b);
    a = low;
}

/// The middle one of nine (Devillard's network of 19 exchanges after Paeth, Graphics Gems 1990).
float median(std::array<float, 9> v) {
    constexpr std::array<std::pair<int, int>, 19> exchanges{{{1, 2},
                                                             {4, 5},
                                                             {7, 8},
                                                             {0, 1},
                                                             {3, 4},
                                                             {6, 7},
                                                             {1, 2},
                                                             {4, 5},
                                                             {7, 8},
                                                             {0, 3},
                                                             {5, 8},
                                                             {4, 7},
                                                             {3, 6},
                                                             {1, 4},
                                                             {2, 5},
                                                             {4, 7},
                                                             {4, 2},
                                                             {6, 4},
                                                             {4, 2}}};
    for (const auto& [a, b] : exchanges) {
        sort(v[a], v[b]);
    }
    return v[4];
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
    const auto moves = in_whole_pixels(from);
    auto chosen = from.clone();
    Judge judge(target, source);
    const auto pixels = from.size(2) * from.size(3);
    const float* x = from.data_ptr<float>();
    auto* out = chosen.data_ptr<float>();
    const bool* here = touched.data_ptr<bool>();
    for (int row = 0; row < judge.target().height(); ++row) {
        for (int column = 0; column < judge.target().width(); ++column) {
            const auto i = judge.target().index({column, row});
            if (here[i]) {
                const auto best = best_offset(judge, moves, {column, row});
                out[i] = x[best];
                out[i + pixels] = x[best + pixels];
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
    const auto flow = offset.to(torch::kCPU, torch::kFloat32).contiguous();
    const auto height = flow.size(2);
    const auto width = flow.size(3);
    const float* x = flow.data_ptr<float>();
    const float* y = x + height * width;
    auto count = torch::zeros({1, 1, height, width}, torch::kUInt8);
    // Half of the neighbours; each pair of pixels that agrees counts for both.
    for (const auto& [down, right] :
         std::array<std::pair<int64_t, int64_t>, 4>{{{0, 1}, {1, -1}, {1, 0}, {1, 1}}}) {
        const auto step = down * width + right;
        for (int64_t row = 0; row + down < height; ++row) {
            uint8_t* counts = count.data_ptr<uint8_t>() + row * width;
            const float* own_x = x + row * width;
            const float* own_y = y + row * width;
            const auto end = std::min(width, width - right);
            for (auto i = std::max<int64_t>(0, -right); i < end; ++i) {
                const auto alike = static_cast<uint8_t>(
                    static_cast<int>(std::abs(own_x[i + step] - own_x[i]) < 1) &
                    static_cast<int>(std::abs(own_y[i + step] - own_y[i]) < 1));
                counts[i] += alike;
                counts[i + step] += alike;
            }
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
        constexpr int reach = 2;
        const auto* own = bytes.at(p);
        int balance = 0;
        for (int y = std::max(0, p.y - reach); y <= std::min(bytes.height() - 1, p.y + reach);
             ++y) {
            for (int x = std::max(0, p.x - reach); x <= std::min(bytes.width() - 1, p.x + reach);
                 ++x) {
                const int weight = support[difference(own, bytes.at({x, y}))];
                balance += held[bytes.index({x, y})] ? weight : -weight;
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
