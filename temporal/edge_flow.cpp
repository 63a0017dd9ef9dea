#include "temporal/edge_flow.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "temporal/flow.h"
#include "temporal/patch_distance.h"
#include "temporal/smoothing.h"

namespace weft {
namespace {

struct Place {
    int x;
    int y;

    friend bool operator==(const Place&, const Place&) = default;
};

/// The pixels around that a pixel's surface is judged by: 5x5 of every other pixel.
constexpr int spread_step = 2;
constexpr int margin = 4;  // how far they reach
constexpr int64_t pixel_bytes = 4;

/// A picture as bytes RGB0 with a margin in which its border goes on. Even and odd columns lie
/// apart, so that every other pixel of a row is the next one in memory.
class Bytes {
  public:
    explicit Bytes(const torch::Tensor& picture)
        : height_(static_cast<int>(picture.size(2))),
          width_(static_cast<int>(picture.size(3))),
          half_((width_ + 1) / 2 + margin + SpreadPatch::read - SpreadPatch::side),
          bytes_(static_cast<size_t>(height_ + 2 * margin) * row_bytes()) {
        const auto plain = picture.to(torch::kCPU, torch::kFloat32).contiguous();
        const auto plane = static_cast<int64_t>(height_) * width_;
        for (int y = -margin; y < height_ + margin; ++y) {
            const float* row = plain.data_ptr<float>() +
                               std::clamp(y, 0, height_ - 1) * static_cast<int64_t>(width_);
            for (int x = -margin; x < width_ + margin; ++x) {
                const float* pixel = row + std::clamp(x, 0, width_ - 1);
                uint8_t* to = bytes_.data() + place({x, y});
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

    /// A place in the picture or its margin.
    const uint8_t* at(Place p) const { return bytes_.data() + place(p); }

    /// The spread around a place in the picture.
    SpreadPatch around(Place p) const {
        return {at({p.x - margin, p.y - margin}), spread_step * row_bytes()};
    }

    /// The nearest place that the picture holds.
    Place nearest(Place p) const {
        return {std::clamp(p.x, 0, width_ - 1), std::clamp(p.y, 0, height_ - 1)};
    }

    bool holds(Place p) const { return p.x >= 0 && p.x < width_ && p.y >= 0 && p.y < height_; }

    int64_t index(Place p) const { return static_cast<int64_t>(p.y) * width_ + p.x; }

  private:
    int64_t row_bytes() const { return 2 * half_ * pixel_bytes; }

    int64_t place(Place p) const {
        const int column = p.x + margin;
        return (p.y + margin) * row_bytes() + pixel_bytes * (column % 2 * half_ + column / 2);
    }

    int height_;
    int width_;
    int64_t half_;                // columns of a kind in a row, with those that are only read
    std::vector<uint8_t> bytes_;  // [h + 8, 2, half, 4]
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
        : target_(target), source_(source), support_(make_support()), distance_(patch_distance()) {}

    const Bytes& target() const { return target_; }

    /// Prepares to judge offsets for the surface at `p`.
    void look_at(Place p) {
        here_ = p;
        own_ = target_.around(p);
        distance_.to_colour(own_, target_.at(p), weights_.data());
        total_ = 0;
        for (size_t row = 0; row < weights_.size(); row += SpreadPatch::read) {
            for (size_t i = row; i < row + SpreadPatch::read; ++i) {
                weights_[i] = i < row + SpreadPatch::side ? support_[weights_[i]] : 0;
                total_ += weights_[i];
            }
        }
    }

    /// Weighted mean difference where the surface is moved by whole pixels, in 1/256 of a code
    /// value, all channels summed; single outliers count at most `most`.
    int64_t misfit(Place offset) const {
        constexpr int most = 90;
        const auto there =
            source_.around(source_.nearest({here_.x + offset.x, here_.y + offset.y}));
        return int64_t{256} * distance_.weighted(own_, there, weights_.data(), most) / total_;
    }

  private:
    Bytes target_;
    Bytes source_;
    std::array<int, 766> support_;
    const PatchDistance& distance_;
    Place here_{0, 0};
    SpreadPatch own_;
    std::array<int32_t, SpreadPatch::side * SpreadPatch::read> weights_{};
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
        const auto cost = judge.misfit(move);
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
        const std::array<const float*, 3> rows{from + grid.index(grid.nearest({0, y - 1})),
                                               from + grid.index({0, y}),
                                               from + grid.index(grid.nearest({0, y + 1}))};
        for (int x = 0; x < grid.width(); ++x) {
            const auto i = grid.index({x, y});
            if (!touched[i]) {
                to[i] = from[i];
                continue;
            }
            const std::array<int, 3> columns{std::max(x - 1, 0), x,
                                             std::min(x + 1, grid.width() - 1)};
            std::array<float, 9> around{};
            for (size_t k = 0; k < around.size(); ++k) {
                around[k] = rows[k / 3][columns[k % 3]];
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
    auto* to = result.data_ptr<bool>();
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
                to[i] = follow({x, y});
            }
        }
    }
    return result.to(mask.device());
}

}  // namespace weft
