#include "video/mask.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "io/files/error.h"
#include "io/media/location.h"
#include "temporal/smoothing.h"
#include "video/resample.h"

namespace weft {
namespace {

/// A mask [1, 1, h, w] with a soft edge.
torch::Tensor feathered(const torch::Tensor& mask, double feather_px) {
    const auto radius = std::max<int64_t>(1, std::llround(feather_px / 2));
    const auto soft = smooth_mean(mask, radius).clamp(0, 1);
    // Running sums leave traces; black stays black and white white.
    constexpr double trace = 1e-4;
    return soft.masked_fill(soft < trace, 0).masked_fill(soft > 1 - trace, 1);
}

/// A frame whose mask is wanted.
struct Wanted {
    int64_t index = 0;
    Time since_start;
    Time duration;
    Size size;
};

Wanted wanted_for(const Frame& frame, const StreamInfo& clip) {
    return {frame.index, frame.time - clip.start, frame.duration, {clip.width, clip.height}};
}

/// Gives the masks of frames whose numbers and times rise. Thread-safe: no.
class MaskTrack {
  public:
    explicit MaskTrack(MaskSource mask) : mask_(std::move(mask)) {
        const auto kind = locate_input(mask_.path).kind;
        if (kind == Location::Kind::pipe) {
            throw Error(mask_.path.string(), "is a pipe, which a mask cannot be",
                        "write it to a file first");
        }
        by_number_ = kind == Location::Kind::sequence;
    }

    /// [1, h, w] in [0, 1]
    torch::Tensor at(const Wanted& wanted) {
        if (open_ == nullptr) {
            open_near(wanted);
        }
        while (next_ && starts_by(*next_, wanted)) {
            now_ = std::move(next_);
            next_ = open_->next();
            prepared_ = torch::Tensor();
        }
        if (!now_ || (!still_ && !next_ && ended(wanted))) {
            throw Error(mask_.path.string(), missing(wanted),
                        "give it a mask for every frame, or one picture for all");
        }
        if (!prepared_.defined()) {
            prepared_ = prepared(*now_, wanted.size);
        }
        return prepared_;
    }

    std::vector<std::string> warnings() const {
        return open_ == nullptr ? std::vector<std::string>() : open_->warnings();
    }

  private:
    void open_at(const std::optional<Position>& from) {
        auto reading = mask_.reading;
        reading.from = from;
        reading.to = {};
        open_ = open_video(mask_.path, reading);
        now_.reset();
        next_ = open_->next();
    }

    /// Opens the mask where it shows what is wanted, or before.
    void open_near(const Wanted& wanted) {
        // Of a clip the frame before counts as well, if it is still shown.
        constexpr int64_t margin_s = 2;
        const bool deep = by_number_ ? wanted.index > 0 : wanted.since_start.seconds() > margin_s;
        still_ = !by_number_ && is_one_picture();
        if (deep && !still_) {
            open_at(by_number_
                        ? Position{.time = {}, .frame = wanted.index}
                        : Position{.time = wanted.since_start - Time(margin_s, 1), .frame = {}});
            if (next_ && starts_by(*next_, wanted)) {
                return;
            }
        }
        open_at(std::nullopt);
    }

    bool is_one_picture() {
        open_at(std::nullopt);
        return next_.has_value() && !open_->next();
    }

    Time shown_at(const Frame& mask) const { return mask.time - open_->info().start; }

    /// Times of two containers differ by their rounding.
    static Time rounding(const Wanted& wanted) { return Time(wanted.duration * Rational(1, 4)); }

    bool starts_by(const Frame& mask, const Wanted& wanted) const {
        return by_number_ ? mask.index <= wanted.index
                          : shown_at(mask) <= wanted.since_start + rounding(wanted);
    }

    /// Whether the mask at hand, the last one, is over.
    bool ended(const Wanted& wanted) const {
        return by_number_
                   ? now_->index < wanted.index
                   : shown_at(*now_) + now_->duration <= wanted.since_start + rounding(wanted);
    }

    std::string missing(const Wanted& wanted) const {
        return c10::str("has no mask for frame ", wanted.index, " of the clip, at ",
                        to_string(wanted.since_start));
    }

    torch::Tensor prepared(const Frame& mask, Size size) const {
        const auto height = mask.pixels.size(1);
        const auto width = mask.pixels.size(2);
        // As much as rounding the sides of one shape to whole pixels can do.
        if (std::abs(width * size.height - height * size.width) >
            std::max(size.width + width, size.height + height)) {
            throw Error(mask_.path.string(),
                        c10::str("is ", width, "x", height, ", another shape than the clip's ",
                                 size.width, "x", size.height),
                        "crop or scale the mask to the clip's shape");
        }
        auto white = mask.pixels.slice(0, 0, 3).mean(0, true);
        if (mask.pixels.size(0) == 4) {
            white = white * mask.pixels.slice(0, 3);
        }
        constexpr double noise = 0.02;
        white = ((white - noise) / (1 - 2 * noise)).clamp(0, 1).unsqueeze(0);
        white = resized(white, size).clamp(0, 1);
        return (mask_.feather_px > 0 ? feathered(white, mask_.feather_px) : white).squeeze(0);
    }

    MaskSource mask_;
    bool by_number_ = false;
    bool still_ = false;  // one picture for all frames; a sequence of one lacks the others
    std::unique_ptr<FrameSource> open_;
    std::optional<Frame> now_;   // the mask at hand
    std::optional<Frame> next_;  // the one after it
    torch::Tensor prepared_;     // now_, for the clip; undefined where not made yet
};

class MaskedSource final : public FrameSource {
  public:
    MaskedSource(std::unique_ptr<FrameSource> frames, MaskSource mask)
        : frames_(std::move(frames)), track_(std::move(mask)) {}

    std::optional<Frame> next() override {
        auto frame = frames_->next();
        if (frame) {
            frame->mask = track_.at(wanted_for(*frame, info()));
        }
        return frame;
    }

    const StreamInfo& info() const override { return frames_->info(); }

    std::vector<std::string> warnings() const override {
        auto all = frames_->warnings();
        for (auto& warning : track_.warnings()) {
            all.push_back(std::move(warning));
        }
        return all;
    }

  private:
    std::unique_ptr<FrameSource> frames_;
    MaskTrack track_;
};

}  // namespace

std::unique_ptr<FrameSource> masked(std::unique_ptr<FrameSource> frames, const MaskSource& mask) {
    if (mask.path.empty()) {
        return frames;
    }
    return std::make_unique<MaskedSource>(std::move(frames), mask);
}

void check_mask(const MaskSource& mask, const StreamInfo& info, const Frame& frame) {
    if (!mask.path.empty()) {
        MaskTrack(mask).at(wanted_for(frame, info));
    }
}

}  // namespace weft
