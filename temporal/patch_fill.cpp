#include "temporal/patch_fill.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "temporal/patch_distance.h"

namespace weft {
namespace {

constexpr int radius = 2;  // of a patch
constexpr int side = 2 * radius + 1;
constexpr int64_t channels = PairPatch::channels;  // source RGB, edit RGB
constexpr int edit_channel = 3;

uint8_t as_byte(float value) {
    // Half code values, rounded up to whole ones.
    return static_cast<uint8_t>((static_cast<int>(std::clamp(value, 0.0F, 1.0F) * 510) + 1) / 2);
}

/// Source and edit as interleaved bytes with a margin of a patch's radius, so that every pixel's
/// patch exists: [h + 4, w + 4, 6].
class Pair {
  public:
    /// @param source, edited [1, 3, h, w], f32
    Pair(const torch::Tensor& source, const torch::Tensor& edited)
        : height_(static_cast<int>(source.size(2))),
          width_(static_cast<int>(source.size(3))),
          edited_(edited.numel()),
          bytes_(static_cast<size_t>(channels) * (height_ + 2 * radius) * stride() +
                 PairPatch::read - side * channels) {
        const auto plane = static_cast<int64_t>(height_) * width_;
        const auto seen = source.contiguous();
        const auto made = edited.contiguous();
        const float* from = made.data_ptr<float>();
        for (int64_t i = 0; i < plane; ++i) {
            for (int64_t c = 0; c < 3; ++c) {
                edited_[3 * i + c] = from[c * plane + i];
            }
        }
        fill_bytes(seen.data_ptr<float>());
    }

    int height() const { return height_; }

    int width() const { return width_; }

    bool holds(int x, int y) const { return x >= 0 && x < width_ && y >= 0 && y < height_; }

    PairPatch patch(int x, int y) const {
        return {bytes_.data() + channels * (static_cast<int64_t>(y) * stride() + x),
                channels * stride()};
    }

    /// The edit's colour at a pixel, as it is.
    const float* edited(int x, int y) const {
        return edited_.data() + 3 * (static_cast<int64_t>(y) * width_ + x);
    }

    float* edited(int x, int y) {
        return edited_.data() + 3 * (static_cast<int64_t>(y) * width_ + x);
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
    torch::Tensor picture() const {
        return torch::tensor(edited_)
            .view({1, height_, width_, 3})
            .permute({0, 3, 1, 2})
            .contiguous();
    }

  private:
    int stride() const { return width_ + 2 * radius; }

    /// @param source planes of the picture
    void fill_bytes(const float* source) {
        const auto plane = static_cast<int64_t>(height_) * width_;
        uint8_t* to = bytes_.data();
        for (int y = -radius; y < height_ + radius; ++y) {
            const int row = std::clamp(y, 0, height_ - 1);
            for (int x = -radius; x < width_ + radius; ++x, to += channels) {
                const int column = std::clamp(x, 0, width_ - 1);
                const float* from = source + row * int64_t{width_} + column;
                const float* colour = edited(column, row);
                for (int c = 0; c < 3; ++c) {
                    to[c] = as_byte(from[c * plane]);
                    to[edit_channel + c] = as_byte(colour[c]);
                }
            }
        }
    }

    int height_;
    int width_;
    std::vector<float> edited_;  // [h, w, 3]
    std::vector<uint8_t> bytes_;
};

/// Where a hole pixel's patch comes from.
struct Match {
    int exemplar = 0;
    int x = 0;
    int y = 0;
    int32_t error = std::numeric_limits<int32_t>::max();
};

struct Pixel {
    int x;
    int y;
};

/// One size of the picture while its holes are being filled.
class Level {
  public:
    /// @param exemplars outlive this
    Level(const HoledEdit& edit, const std::vector<Pair>& exemplars, int guide)
        : target_(edit.source, edit.picture), exemplars_(exemplars), guide_(guide) {
        const auto holes = edit.holes[0][0].contiguous();
        const bool* hole = holes.data_ptr<bool>();
        place_.assign(holes.numel(), -1);
        for (int y = 0; y < target_.height(); ++y) {
            for (int x = 0; x < target_.width(); ++x) {
                if (hole[y * target_.width() + x]) {
                    place_[y * target_.width() + x] = static_cast<int>(pixels_.size());
                    pixels_.push_back({x, y});
                }
            }
        }
        matches_.resize(pixels_.size());
        for (int64_t i = 0; i < side * channels; ++i) {
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
        trust_.clear();
        for (const Match& match : matches_) {
            // The mean square difference of a value, in code values; 4 is noise.
            const double square =
                static_cast<double>(match.error) / (side * side * 3 * (guide_ + 1));
            trust_.push_back(1 / std::pow(square + 4, 2));
        }
        for (const Pixel p : pixels_) {
            blend(p);
        }
        for (const Pixel p : pixels_) {
            target_.renew(p.x, p.y);
        }
        for (size_t i = 0; i < pixels_.size(); ++i) {
            matches_[i].error = error(pixels_[i], matches_[i]);
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

    /// Weighted sum of squared differences of two patches.
    int32_t error(Pixel p, const Match& match) const {
        return distance_.squared(target_.patch(p.x, p.y),
                                 exemplars_[match.exemplar].patch(match.x, match.y),
                                 weights_.data());
    }

    void consider(size_t i, int exemplar, int x, int y) {
        Match match{.exemplar = exemplar,
                    .x = std::clamp(x, 0, exemplars_[exemplar].width() - 1),
                    .y = std::clamp(y, 0, exemplars_[exemplar].height() - 1)};
        match.error = error(pixels_[i], match);
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
                const double weight = trust_[match - matches_.data()];
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
    std::span<const Pair> exemplars_;
    int guide_;
    const PatchDistance& distance_ = patch_distance();
    std::array<int16_t, PairPatch::read> weights_{};  // of a patch's row
    std::vector<Pixel> pixels_;                       // the holes, row by row
    std::vector<int> place_;      // [h w] a pixel's place in pixels_, -1 outside of holes
    std::vector<Match> matches_;  // of pixels_
    std::vector<double> trust_;   // of matches_, while they vote
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

constexpr int64_t least_side = 32;

/// Sizes of a picture of which each is half the one before, at most `levels`.
int64_t sizes_of(const torch::Tensor& picture, int64_t levels) {
    int64_t count = 1;
    auto shortest = std::min(picture.size(2), picture.size(3));
    for (; count < levels && shortest >= 2 * least_side; shortest /= 2) {
        ++count;
    }
    return count;
}

void check(const HoledEdit& edit) {
    TORCH_CHECK(edit.source.dim() == 4 && edit.source.size(0) == 1 && edit.source.size(1) == 3 &&
                    edit.picture.sizes() == edit.source.sizes(),
                "source ", edit.source.sizes(), ", edit ", edit.picture.sizes());
    TORCH_CHECK(edit.holes.scalar_type() == torch::kBool && edit.holes.size(1) == 1 &&
                    edit.holes.size(2) == edit.source.size(2) &&
                    edit.holes.size(3) == edit.source.size(3),
                "holes ", edit.holes.sizes());
}

void check(std::span<const Exemplar> exemplars, const PatchFillOptions& options) {
    TORCH_CHECK(!exemplars.empty(), "nothing to fill holes from");
    TORCH_CHECK(options.guide >= 0 && options.guide <= 128, "guide ", options.guide);
    for (const Exemplar& exemplar : exemplars) {
        TORCH_CHECK(exemplar.source.sizes() == exemplars[0].source.sizes() &&
                        exemplar.edited.sizes() == exemplar.source.sizes(),
                    "exemplar ", exemplar.source.sizes(), ", its edit ", exemplar.edited.sizes());
    }
}

}  // namespace

/// The exemplars at all sizes, the finest first.
struct PatchFiller::Sizes {
    std::vector<std::vector<Pair>> exemplars;
};

PatchFiller::PatchFiller(std::span<const Exemplar> exemplars, const PatchFillOptions& options)
    : options_(options) {
    check(exemplars, options);
    const torch::NoGradGuard inference;
    auto sizes = std::make_shared<Sizes>();
    sizes->exemplars.resize(sizes_of(exemplars[0].source, options.levels));
    for (const Exemplar& exemplar : exemplars) {
        Exemplar size{plain(exemplar.source), plain(exemplar.edited)};
        for (size_t i = 0; i < sizes->exemplars.size(); ++i) {
            size = i == 0 ? size : halved(size);
            sizes->exemplars[i].emplace_back(size.source, size.edited);
        }
    }
    sizes_ = std::move(sizes);
}

torch::Tensor PatchFiller::operator()(const HoledEdit& edit, const NoiseKey& key) const {
    check(edit);
    const torch::NoGradGuard inference;
    if (!edit.holes.any().item<bool>()) {
        return edit.picture;
    }
    std::vector<HoledEdit> edits{
        {plain(edit.source), plain(edit.picture), edit.holes.to(torch::kCPU)}};
    const auto levels = std::min(sizes_of(edit.source, options_.levels),
                                 static_cast<int64_t>(sizes_->exemplars.size()));
    while (static_cast<int64_t>(edits.size()) < levels) {
        edits.push_back(halved(edits.back()));
    }
    std::vector<Level> done;
    uint32_t turn = 0;
    for (size_t i = edits.size(); i-- > 0;) {
        Level level(edits[i], sizes_->exemplars[i], options_.guide);
        if (done.empty()) {
            level.start();
        } else {
            level.start_from(done.back());
            level.vote();
        }
        const auto rounds = i == 0 && !done.empty() ? options_.last_rounds : options_.rounds;
        for (int64_t round = 0; round < rounds; ++round) {
            for (int64_t search = 0; search < options_.searches; ++search) {
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
