#include "video/measure_summary.h"

#include <algorithm>
#include <cmath>

namespace weft {
namespace {

/// A mean with weights; 0 of nothing.
class Mean {
  public:
    void add(double value, double weight = 1) {
        sum_ += value * weight;
        weight_ += weight;
    }

    double value() const { return weight_ > 0 ? sum_ / weight_ : 0; }

  private:
    double sum_ = 0;
    double weight_ = 0;
};

void add_pairs(const Measurement& measurement, const ClipFigures& clip, ClipSummary& summary) {
    Mean share;
    Mean warp_error;
    Mean flicker;
    Mean end_point_error;
    for (size_t i = 1; i < clip.frames.size(); ++i) {
        const FrameFigures& frame = clip.frames[i];
        const auto place = static_cast<int64_t>(i);
        if (!within_shot(measurement, place - 1, place)) {
            continue;
        }
        share.add(frame.valid_share);
        warp_error.add(frame.warp_error, frame.valid_share);
        flicker.add(frame.flicker);
        end_point_error.add(frame.end_point_error, frame.valid_share);
        if (frame.warp_error > summary.worst_error) {
            summary.worst_error = frame.warp_error;
            summary.worst_frame = frame.frame;
        }
    }
    summary.valid_share = share.value();
    summary.warp_error = warp_error.value();
    summary.flicker = flicker.value();
    summary.end_point_error = end_point_error.value();
}

void add_luma_flicker(const Measurement& measurement, const ClipFigures& clip,
                      ClipSummary& summary) {
    Mean flicker;
    for (size_t i = 2; i < clip.frames.size(); ++i) {
        const auto place = static_cast<int64_t>(i);
        if (within_shot(measurement, place - 2, place)) {
            flicker.add(std::abs(clip.frames[i].luma - 2 * clip.frames[i - 1].luma +
                                 clip.frames[i - 2].luma));
        }
    }
    summary.luma_flicker = flicker.value();
}

void add_drift(const Measurement& measurement, const ClipFigures& clip, ClipSummary& summary) {
    Mean share;
    Mean error;
    for (const DriftFigures& drift : clip.drift) {
        if (within_shot(measurement, drift.from, drift.to)) {
            share.add(drift.valid_share);
            error.add(drift.warp_error, drift.valid_share);
        }
    }
    summary.drift_valid_share = share.value();
    summary.drift_error = error.value();
}

void add_change(const ClipFigures& clip, ClipSummary& summary) {
    Mean strength;
    Mean outside;
    bool masked = false;
    for (const FrameFigures& frame : clip.frames) {
        strength.add(frame.strength);
        if (frame.outside) {
            masked = true;
            outside.add(*frame.outside);
        }
    }
    summary.strength = strength.value();
    if (masked) {
        summary.outside = outside.value();
    }
}

std::optional<double> ratio(double value, double to) {
    return to > 0 ? std::optional(value / to) : std::nullopt;
}

}  // namespace

bool within_shot(const Measurement& measurement, int64_t from, int64_t to) {
    const auto& cuts = measurement.cuts;
    const auto next = std::upper_bound(cuts.begin(), cuts.end(), from);
    return next == cuts.end() || *next > to;
}

void summarise(Measurement& measurement) {
    for (ClipFigures& clip : measurement.clips) {
        ClipSummary summary;
        add_pairs(measurement, clip, summary);
        add_luma_flicker(measurement, clip, summary);
        add_drift(measurement, clip, summary);
        add_change(clip, summary);
        clip.summary = summary;
    }
    const ClipSummary identity = measurement.clips.front().summary;
    for (ClipFigures& clip : measurement.clips) {
        clip.summary.warp_ratio = ratio(clip.summary.warp_error, identity.warp_error);
        clip.summary.drift_ratio = clip.drift.empty()
                                       ? std::nullopt
                                       : ratio(clip.summary.drift_error, identity.drift_error);
    }
}

}  // namespace weft
