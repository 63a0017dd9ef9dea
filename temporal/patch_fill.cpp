#include "temporal/patch_fill.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace weft {
namespace {

constexpr int radius = 2;  // of a patch
constexpr int side = 2 * radius + 1;
constexpr int channels = 8;  // source RGB, 0, edit RGB, 0: a power of two for the vector unit
constexpr int edit_channel = 4;
constexpr int row_bytes = side * channels;  // of a patch

uint8_t as_byte(float value) {
    // Half code values, rounded up to whole ones.
    return static_cast<uint8_t>((static_cast<int>(std::clamp(value, 0.0F, 1.0F) * 510) + 1) / 2);
}

/// Source and edit as interleaved bytes with a margin of a patch's radius, so that every pixel's
/// patch exists: [h + 4, w + 4, 8].
class Pair {
  public:
    Pair(const torch::Tensor& source, const torch::Tensor& edited)
        : height_(static_cast<int>(source.size(2))),
          width_(static_cast<int>(source.size(3))),
          edited_(edited[0].permute({1, 2, 0}).contiguous()),
          bytes_(static_cast<size_t>(channels) * (height_ + 2 * radius) * stride()) {
        const auto plane = static_cast<int64_t>(height_) * width_;
        const auto seen = source.contiguous();
        uint8_t* to = bytes_.data();
        for (int y = -radius; y < height_ + radius; ++y) {
            for (int x = -radius; x < width_ + radius; ++x, to += channels) {
                const int row = std::clamp(y, 0, height_ - 1);
                const int column = std::clamp(x, 0, width_ - 1);
                const float* from = seen.data_ptr<float>() + row * int64_t{width_} + column;
                const float* colour = this->edited(column, row);
                for (int c = 0; c < 3; ++c) {
                    to[c] = as_byte(from[c * plane]);
                    to[edit_channel + c] = as_byte(colour[c]);
                }
            }
        }
    }

    int height() const { return height_; }

    int width() const { return width_; }

    bool holds(int x, int y) const { return x >= 0 && x < width_ && y >= 0 && y < height_; }

    /// The first byte of the patch around a pixel.
    const uint8_t* patch(int x, int y) const {
        return bytes_.data() + channels * (static_cast<int64_t>(y) * stride() + x);
    }

    int stride() const { return width_ + 2 * radius; }

    /// The edit's colour at a pixel, as it is.
    const float* edited(int x, int y) const {
        return edited_.data_ptr<float>() + 3 * (static_cast<int64_t>(y) * width_ + x);
    }

    float* edited(int x, int y) {
        return edited_.data_ptr<float>() + 3 * (static_cast<int64_t>(y) * width_ + x);
    }

    /// Brings the bytes of a pixel's edit up to date.
    void renew(int x, int y) {
        uint8_t* byte = bytes_.data() +
                        channels * (static_cast<int64_t>(y + radius) * stride() + x + radius) +
                        edit_channel;
        for (int c = 0; c < 3; ++c) {
            byte[c] = as_byte(edited(x, y)[c]);
        }
    }

    /// The edit, [1, 3, h, w].
    torch::Tensor picture() const { return edited_.permute({2, 0, 1}).unsqueeze(0).contiguous(); }

  private:
    int height_;
    int width_;
    torch::Tensor edited_;  // [h, w, 3]
    std::vector<uint8_t> bytes_;
};

/// Where a hole pixel's patch comes from.
struct Match {
    int exemplar = 0;
    int x = 0;
    int y = 0;
    int64_t error = std::numeric_limits<int64_t>::max();
};

struct Pixel {
    int x;
    int y;
};

/// One size of the picture while its holes are being filled.
class Level {
  public:
    Level(const HoledEdit& edit, std::span<const Exemplar> exemplars, int guide)
        : target_(edit.source, edit.picture), guide_(guide) {
        for (const Exemplar& exemplar : exemplars) {
            exemplars_.emplace_back(exemplar.source, exemplar.edited);
        }
        const auto holes = edit.holes[0][0].contiguous();
        place_.assign(holes.numel(), -1);
        for (int y = 0; y < target_.height(); ++y) {
            for (int x = 0; x < target_.width(); ++x) {
                if (holes.data_ptr<bool>()[y * target_.width() + x]) {
                    place_[y * target_.width() + x] = static_cast<int>(pixels_.size());
                    pixels_.push_back({x, y});
                }
            }
        }
        matches_.resize(pixels_.size());
        for (int i = 0; i < row_bytes; ++i) {
            weights_[i] = static_cast<int16_t>(i % channels < edit_channel ? guide : 1);
        }
    }

    size_t holes() const { return pixels_.size(); }

    torch::Tensor picture() const { return target_.picture(); }

    /// Every hole pixel starts at its own place, in the exemplar that fits best there.
    void start() {
        for (size_t i = 0; i < pixels_.size(); ++i) {
            for (int e = 0; e < count(); ++e) {
                consider(i, e, pixels_[i].x, pixels_[i].y);
            }
        }
    }

    /// Takes over the matches of a level of half the size.
    void start_from(const Level& coarse) {
        for (size_t i = 0; i < pixels_.size(); ++i) {
            const auto [x, y] = pixels_[i];
            if (const auto* match = coarse.match_at(x / 2, y / 2)) {
                consider(i, match->exemplar, 2 * match->x + x % 2, 2 * match->y + y % 2);
            }
            for (int e = 0; e < count(); ++e) {
                consider(i, e, x, y);
            }
        }
    }

    /// One search for all hole pixels, first the light fields of a chess board, then the dark ones.
    void search(const NoiseKey& key, uint32_t turn) {
        for (int colour = 0; colour < 2; ++colour) {
            for (size_t i = 0; i < pixels_.size(); ++i) {
                if ((pixels_[i].x + pixels_[i].y) % 2 == colour) {
                    follow_neighbours(i);
                    try_places(i, key, turn);
                }
            }
        }
    }

    /// Gives each hole pixel the mean of the patches that cover it.
    void vote() {
        for (const Pixel p : pixels_) {
            blend(p);
        }
        for (const Pixel p : pixels_) {
            target_.renew(p.x, p.y);
        }
        for (size_t i = 0; i < pixels_.size(); ++i) {
            Match& match = matches_[i];
            match.error = error(pixels_[i], match, std::numeric_limits<int64_t>::max());
        }
    }

  private:
    int count() const { return static_cast<int>(exemplars_.size()); }

    const Match* match_at(int x, int y) const {
        if (!target_.holds(x, y) || place_[y * target_.width() + x] < 0) {
            return nullptr;
        }
        return &matches_[place_[y * target_.width() + x]];
    }

    /// Weighted sum of squared differences of two patches; may stop once it exceeds `most`. Bytes
    /// between the channels are 0.
    int64_t error(Pixel p, const Match& match, int64_t most) const {
        const Pair& from = exemplars_[match.exemplar];
        const uint8_t* own = target_.patch(p.x, p.y);
        const uint8_t* other = from.patch(match.x, match.y);
        const int64_t own_row = int64_t{channels} * target_.stride();
        const int64_t other_row = int64_t{channels} * from.stride();
        int64_t sum = 0;
        for (int row = 0; row < side && sum < most; ++row) {
            sum += row_error(own, other);
            own += own_row;
            other += other_row;
        }
        return sum;
    }

    /// The same of one row of two patches.
    int row_error(const uint8_t* own, const uint8_t* other) const {
        // Products of 16 bits: what the vector unit sums in one instruction.
        int sum = 0;
        for (int i = 0; i < row_bytes; ++i) {
            const auto difference = static_cast<int16_t>(own[i] - other[i]);
            const auto weighted = static_cast<int16_t>(difference * weights_[i]);
            sum += int{difference} * int{weighted};
        }
        return sum;
    }

    void consider(size_t i, int exemplar, int x, int y) {
        Match match{.exemplar = exemplar,
                    .x = std::clamp(x, 0, exemplars_[exemplar].width() - 1),
                    .y = std::clamp(y, 0, exemplars_[exemplar].height() - 1)};
        match.error = error(pixels_[i], match, matches_[i].error);
        if (match.error < matches_[i].error) {
            matches_[i] = match;
        }
    }

    /// What suits a neighbour, moved by a pixel, may suit this one.
    void follow_neighbours(size_t i) {
        constexpr std::array<Pixel, 4> around{{{-1, 0}, {1, 0}, {0, -1}, {0, 1}}};
        for (const Pixel away : around) {
            if (const auto* match = match_at(pixels_[i].x + away.x, pixels_[i].y + away.y)) {
                consider(i, match->exemplar, match->x - away.x, match->y - away.y);
            }
        }
    }

    /// Random places around the best one so far, in circles of half the size each.
    void try_places(size_t i, const NoiseKey& key, uint32_t turn) {
        const auto pixel = static_cast<uint32_t>(pixels_[i].y * target_.width() + pixels_[i].x);
        const auto frame = static_cast<uint64_t>(key.frame);
        int reach = std::max(exemplars_[0].width(), exemplars_[0].height());
        for (uint32_t block = 0; reach > 0; ++block) {
            const auto bits = philox_4x32(
                {pixel, static_cast<uint32_t>(NoisePurpose::patches) << 16 | turn << 4 | block,
                 static_cast<uint32_t>(frame), static_cast<uint32_t>(frame >> 32)},
                {static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32)});
            for (size_t k = 0; k < bits.size() && reach > 0; ++k, reach /= 2) {
                // 15 bits each for x and y, the rest for the exemplar.
                const auto within = [&](uint32_t part) {
                    return static_cast<int>((2 * reach + 1) * (part & 0x7FFF) >> 15) - reach;
                };
                const int exemplar = (bits[k] >> 30) % 2 == 0
                                         ? matches_[i].exemplar
                                         : static_cast<int>(bits[k] >> 16) % count();
                consider(i, exemplar, matches_[i].x + within(bits[k]),
                         matches_[i].y + within(bits[k] >> 15));
            }
        }
    }

    void blend(Pixel p) {
        std::array<double, 3> sum{};
        double weights = 0;
        for (int dy = -radius; dy <= radius; ++dy) {
            for (int dx = -radius; dx <= radius; ++dx) {
                const auto* match = match_at(p.x + dx, p.y + dy);
                if (match == nullptr ||
                    !exemplars_[match->exemplar].holds(match->x - dx, match->y - dy)) {
                    continue;
                }
                // The mean square difference of a value, in code values; 4 is noise.
                const double square =
                    static_cast<double>(match->error) / (side * side * 3 * (guide_ + 1));
                const double weight = 1 / std::pow(square + 4, 2);
                const float* colour =
                    exemplars_[match->exemplar].edited(match->x - dx, match->y - dy);
                for (int c = 0; c < 3; ++c) {
                    sum[c] += weight * colour[c];
                }
                weights += weight;
            }
        }
        for (int c = 0; c < 3; ++c) {
            target_.edited(p.x, p.y)[c] = static_cast<float>(sum[c] / weights);
        }
    }

    Pair target_;
    std::vector<Pair> exemplars_;
    int guide_;
    std::array<int16_t, row_bytes> weights_{};  // of a patch's row
    std::vector<Pixel> pixels_;                 // the holes, row by row
    std::vector<int> place_;      // [h w] a pixel's place in pixels_, -1 outside of holes
    std::vector<Match> matches_;  // of pixels_
};

/// Half the size; odd rows and columns at the end are left out. 2x2 pixels with a hole are one.
HoledEdit halved(const HoledEdit& edit) {
    const auto mean = [](const torch::Tensor& x) { return at::avg_pool2d(x, {2, 2}); };
    return {mean(edit.source), mean(edit.picture),
            at::max_pool2d(edit.holes.to(torch::kFloat32), {2, 2}) > 0};
}

Exemplar halved(const Exemplar& exemplar) {
    return {at::avg_pool2d(exemplar.source, {2, 2}), at::avg_pool2d(exemplar.edited, {2, 2})};
}

torch::Tensor plain(const torch::Tensor& picture) {
    return picture.to(torch::kCPU, torch::kFloat32).contiguous();
}

/// All sizes, the finest first.
struct Pyramid {
    std::vector<HoledEdit> edits;
    std::vector<std::vector<Exemplar>> exemplars;
};

Pyramid pyramid(const HoledEdit& edit, std::span<const Exemplar> exemplars, int64_t levels) {
    constexpr int64_t least_side = 32;
    Pyramid result;
    result.edits.push_back({plain(edit.source), plain(edit.picture), edit.holes.to(torch::kCPU)});
    result.exemplars.emplace_back();
    for (const Exemplar& exemplar : exemplars) {
        result.exemplars[0].push_back({plain(exemplar.source), plain(exemplar.edited)});
    }
    const auto shortest = [&] {
        const auto& target = result.edits.back().source;
        const auto& from = result.exemplars.back()[0].source;
        return std::min({target.size(2), target.size(3), from.size(2), from.size(3)});
    };
    while (static_cast<int64_t>(result.edits.size()) < levels && shortest() >= 2 * least_side) {
        result.edits.push_back(halved(result.edits.back()));
        std::vector<Exemplar> smaller;
        for (const Exemplar& exemplar : result.exemplars.back()) {
            smaller.push_back(halved(exemplar));
        }
        result.exemplars.push_back(std::move(smaller));
    }
    return result;
}

void check(const HoledEdit& edit, std::span<const Exemplar> exemplars) {
    TORCH_CHECK(edit.source.dim() == 4 && edit.source.size(0) == 1 && edit.source.size(1) == 3 &&
                    edit.picture.sizes() == edit.source.sizes(),
                "source ", edit.source.sizes(), ", edit ", edit.picture.sizes());
    TORCH_CHECK(edit.holes.scalar_type() == torch::kBool && edit.holes.size(1) == 1 &&
                    edit.holes.size(2) == edit.source.size(2) &&
                    edit.holes.size(3) == edit.source.size(3),
                "holes ", edit.holes.sizes());
    TORCH_CHECK(!exemplars.empty(), "nothing to fill holes from");
    for (const Exemplar& exemplar : exemplars) {
        TORCH_CHECK(exemplar.source.sizes() == exemplars[0].source.sizes() &&
                        exemplar.edited.sizes() == exemplar.source.sizes(),
                    "exemplar ", exemplar.source.sizes(), ", its edit ", exemplar.edited.sizes());
    }
}

}  // namespace

torch::Tensor patch_filled(const HoledEdit& edit, std::span<const Exemplar> exemplars,
                           const NoiseKey& key, const PatchFillOptions& options) {
    check(edit, exemplars);
    TORCH_CHECK(options.guide >= 0 && options.guide <= 128, "guide ", options.guide);
    const torch::NoGradGuard inference;
    if (!edit.holes.any().item<bool>()) {
        return edit.picture;
    }
    const auto sizes = pyramid(edit, exemplars, options.levels);
    std::vector<Level> done;
    uint32_t turn = 0;
    for (size_t i = sizes.edits.size(); i-- > 0;) {
        Level level(sizes.edits[i], sizes.exemplars[i], options.guide);
        if (done.empty()) {
            level.start();
        } else {
            level.start_from(done.back());
            level.vote();
        }
        const auto rounds = i == 0 && !done.empty() ? options.last_rounds : options.rounds;
        for (int64_t round = 0; round < rounds; ++round) {
            for (int64_t search = 0; search < options.searches; ++search) {
                level.search(key, turn++);
            }
            level.vote();
        }
        done.clear();
        done.push_back(std::move(level));
    }
    return done.back().picture().to(edit.picture.device());
}

}  // namespace weft
