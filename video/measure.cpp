#include "video/measure.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/files/error.h"
#include "temporal/flow_estimator.h"
#include "temporal/shots.h"
#include "temporal/steady_flow.h"
#include "video/measure_summary.h"
#include "video/resample.h"

namespace weft {
namespace {

double mean_of(const torch::Tensor& x) {
    return x.mean(torch::kFloat64).item<double>();
}

/// Mean over the pixels of a mask [1, 1, h, w]; 0 where it is empty.
double masked_mean(const torch::Tensor& x, const torch::Tensor& mask) {
    const auto pixels = mask.to(torch::kFloat64).sum().item<double>();
    return pixels > 0 ? (x * mask).sum(torch::kFloat64).item<double>() / pixels : 0;
}

double mean_luma(const torch::Tensor& picture) {
    return 0.299 * mean_of(picture.select(1, 0)) + 0.587 * mean_of(picture.select(1, 1)) +
           0.114 * mean_of(picture.select(1, 2));
}

/// (now - before warped)^2, the mean of the channels, [1, 1, h, w].
torch::Tensor squared_error(const torch::Tensor& now, const torch::Tensor& before,
                            const torch::Tensor& offset) {
    return (now - warp(before, offset)).square().mean(1, true);
}

/// A clip that is being read, and what has been found of it.
class ClipInWork {
  public:
    ClipInWork(std::string name, std::unique_ptr<FrameSource> source) : source_(std::move(source)) {
        figures_.name = std::move(name);
    }

    const StreamInfo& info() const { return source_->info(); }

    std::optional<Frame> next() { return source_->next(); }

    ClipFigures& figures() { return figures_; }

    std::optional<Time> first_time;
    torch::Tensor before;  // the last picture on the grid; undefined at the start
    torch::Tensor anchor;  // the picture that drift is measured against
    std::optional<ClipTrack> track;

  private:
    std::unique_ptr<FrameSource> source_;
    ClipFigures figures_;
};

/// A frame of a clip and what it was made from, [1, 3, grid] each.
struct Shown {
    torch::Tensor now;
    torch::Tensor source;
};

/// The source's motion into its current frame.
struct SourceMotion {
    FlowField flow;       // to the frame before
    FlowField to_anchor;  // along all frames between
    bool at_drift_end = false;
};

/// Measures clips side by side; one call of step() a frame.
class Measuring {
  public:
    Measuring(NamedSource source, std::vector<NamedSource> edited, const MeasureOptions& options)
        : options_(options),
          estimator_(make_flow_estimator(options.estimator)),
          source_("identity", std::move(source.frames)) {
        TORCH_CHECK(options.drift_frames >= 2, "drift over ", options.drift_frames, " frames");
        for (NamedSource& clip : edited) {
            edited_.emplace_back(std::move(clip.name), std::move(clip.frames));
        }
        if (options.clip != nullptr) {
            const auto text = options.clip->text(options.prompt);
            source_.track.emplace(*options.clip, text);
            for (ClipInWork& clip : edited_) {
                clip.track.emplace(*options.clip, text);
            }
        }
    }

    Measurement run() {
        while (auto frame = source_.next()) {
            if (options_.stop != nullptr && options_.stop->load()) {
                throw Interrupted("the measurement was not finished");
            }
            step(*frame);
        }
        require_frames(source_);
        for (ClipInWork& clip : edited_) {
            require_frames(clip);
            finish_integrity(clip);
        }
        return finished();
    }

  private:
    static void add_clip_scores(const ClipInWork& clip, ClipFigures& figures) {
        if (clip.track) {
            figures.summary.clip = clip.track->scores();
        }
    }

    static void require_frames(ClipInWork& clip) {
        if (clip.figures().frames.empty()) {
            throw Error(clip.info().path.string(), "has no frame in the chosen part",
                        "check --from and --to");
        }
    }

    torch::Tensor on_grid(const Frame& frame) const {
        const auto picture = frame.pixels.slice(0, 0, 3).clamp(0, 1).unsqueeze(0);
        return resized(picture, grid_).clamp(0, 1);  // [1, 3, grid]
    }

    void choose_grid(const Frame& first) {
        const auto height = first.pixels.size(1);
        const auto width = first.pixels.size(2);
        const double scale = std::min(1.0, static_cast<double>(options_.longer_side) /
                                               static_cast<double>(std::max(height, width)));
        const auto scaled = [&](int64_t side) {
            return std::max<int64_t>(2, std::llround(static_cast<double>(side) * scale));
        };
        grid_ = {scaled(width), scaled(height)};
        source_.first_time = first.time;
    }

    void step(const Frame& frame) {
        if (source_.figures().frames.empty()) {
            choose_grid(frame);
        }
        const auto now = on_grid(frame);
        if (frame.mask.defined()) {
            outside_ = resized(frame.mask.unsqueeze(0), grid_) <= 0;
        }
        detector_.put(now[0]);
        const auto motion = source_motion(now);
        FrameFigures place{.frame = frame.index,
                           .time_s = (frame.time - *source_.first_time).seconds()};
        add(source_, 0, {now, now}, motion, place);
        for (size_t i = 0; i < edited_.size(); ++i) {
            step_edited(edited_[i], i + 1, now, motion, place);
        }
    }

    void step_edited(ClipInWork& clip, size_t number, const torch::Tensor& source,
                     const SourceMotion& motion, const FrameFigures& place) {
        const auto frame = clip.next();
        if (!frame) {
            return;
        }
        auto& integrity = clip.figures().integrity;
        clip.first_time = clip.first_time.value_or(frame->time);
        const double time_s = (frame->time - *clip.first_time).seconds();
        integrity.largest_shift_s =
            std::max(integrity.largest_shift_s, std::abs(time_s - place.time_s));
        add(clip, number, {on_grid(*frame), source}, motion, place);
    }

    SourceMotion source_motion(const torch::Tensor& now) {
        SourceMotion motion;
        if (!source_.before.defined()) {
            motion.flow = identity_flow(1, grid_.height, grid_.width);
            to_anchor_ = motion.flow;
            return motion;
        }
        motion.flow = checked_flow(steadied(estimate_both_ways(*estimator_, now, source_.before)),
                                   options_.checks);
        to_anchor_ = compose(motion.flow, to_anchor_);
        motion.to_anchor = to_anchor_;
        motion.at_drift_end = ++since_anchor_ == options_.drift_frames;
        if (motion.at_drift_end) {
            since_anchor_ = 0;
            to_anchor_ = identity_flow(1, grid_.height, grid_.width);
        }
        return motion;
    }

    /// Measures one frame of one clip and keeps it as the next one's predecessor.
    void add(ClipInWork& clip, size_t number, const Shown& shown, const SourceMotion& motion,
             FrameFigures figures) {
        const auto& now = shown.now;
        figures.luma = mean_luma(now);
        const auto change = (now - shown.source).abs();
        figures.strength = mean_of(change);
        if (outside_.defined()) {
            figures.outside = masked_mean(change.amax(1, true), outside_);
        }
        torch::Tensor error = torch::zeros({1, 1, grid_.height, grid_.width});
        if (clip.before.defined()) {
            error = squared_error(now, clip.before, motion.flow.offset);
            figures.valid_share = mean_of(motion.flow.valid.to(torch::kFloat32));
            figures.warp_error = masked_mean(error, motion.flow.valid);
            figures.flicker = mean_of((now - clip.before).abs());
            figures.end_point_error = end_point_error(clip, number, now, motion.flow);
        } else {
            clip.anchor = now;
        }
        clip.figures().frames.push_back(figures);
        if (clip.track) {
            clip.track->add(now);
        }
        if (motion.at_drift_end) {
            add_drift(clip, now, motion.to_anchor);
        }
        clip.before = now;
        if (options_.on_pair) {
            options_.on_pair({number, figures, shown.source, now, motion.flow, error.sqrt()});
        }
    }

    double end_point_error(const ClipInWork& clip, size_t number, const torch::Tensor& now,
                           const FlowField& flow) const {
        if (number == 0) {
            return 0;
        }
        const auto own = steadied((*estimator_)(now, clip.before), now, clip.before);
        return masked_mean((own - flow.offset).square().sum(1, true).sqrt(), flow.valid);
    }

    void add_drift(ClipInWork& clip, const torch::Tensor& now, const FlowField& to_anchor) const {
        const auto to = static_cast<int64_t>(clip.figures().frames.size()) - 1;
        const auto error = squared_error(now, clip.anchor, to_anchor.offset);
        clip.figures().drift.push_back({.from = to - options_.drift_frames,
                                        .to = to,
                                        .valid_share = mean_of(to_anchor.valid.to(torch::kFloat32)),
                                        .warp_error = masked_mean(error, to_anchor.valid)});
        clip.anchor = now;
    }

    void finish_integrity(ClipInWork& clip) {
        auto& integrity = clip.figures().integrity;
        const StreamInfo& theirs = clip.info();
        const StreamInfo& ours = source_.info();
        integrity.frames = static_cast<int64_t>(clip.figures().frames.size());
        while (clip.next()) {
            ++integrity.frames;
        }
        integrity.same_frames =
            integrity.frames == static_cast<int64_t>(source_.figures().frames.size());
        integrity.same_size = theirs.width == ours.width && theirs.height == ours.height;
        integrity.same_color = theirs.color == ours.color;
        integrity.same_side_streams = std::equal(
            theirs.others.begin(), theirs.others.end(), ours.others.begin(), ours.others.end(),
            [](const SideStream& a, const SideStream& b) { return a.kind == b.kind; });
    }

    Measurement finished() {
        Measurement result{
            .height = grid_.height, .width = grid_.width, .cuts = detector_.finish(), .clips = {}};
        source_.figures().integrity.frames = static_cast<int64_t>(source_.figures().frames.size());
        result.clips.push_back(std::move(source_.figures()));
        for (ClipInWork& clip : edited_) {
            result.clips.push_back(std::move(clip.figures()));
        }
        summarise(result);
        add_clip_scores(source_, result.clips.front());
        for (size_t i = 0; i < edited_.size(); ++i) {
            add_clip_scores(edited_[i], result.clips[i + 1]);
        }
        return result;
    }

    const MeasureOptions& options_;
    std::unique_ptr<FlowEstimator> estimator_;
    ClipInWork source_;
    std::vector<ClipInWork> edited_;
    Size grid_;
    torch::Tensor outside_;  // of the frame in work, [1, 1, grid] bool; undefined without a mask
    CutDetector detector_;
    FlowField to_anchor_;
    int64_t since_anchor_ = 0;
};

}  // namespace

Measurement measure(NamedSource source, std::vector<NamedSource> edited,
                    const MeasureOptions& options) {
    const torch::InferenceMode no_gradients;
    return Measuring(std::move(source), std::move(edited), options).run();
}

}  // namespace weft
