#include "video/segment_renderer.h"

#include <utility>

#include "io/media/prefetch.h"

namespace weft {
namespace {

/// A stretch of a clip as a source; counts the time spent, on whatever thread it runs.
class Stretch final : public FrameSource {
  public:
    Stretch(ClipCursor& cursor, int64_t first, int64_t end, StageClock* clock)
        : cursor_(cursor), next_(first), end_(end), clock_(clock) {}

    std::optional<Frame> next() override {
        if (next_ >= end_) {
            return std::nullopt;
        }
        const StageClock::Lap lap(clock_, Stage::decode_video);
        return cursor_.at(next_++);
    }

    const StreamInfo& info() const override { return cursor_.info(); }

  private:
    ClipCursor& cursor_;
    int64_t next_;
    int64_t end_;
    StageClock* clock_;
};

}  // namespace

SegmentRenderer::SegmentRenderer(const Editor& editor, const ClipWork& work, RenderWatch watch,
                                 std::function<void(int64_t)> on_frames)
    : editor_(editor),
      work_(work),
      watch_(std::move(watch)),
      on_frames_(std::move(on_frames)),
      mode_(*editor.job().between),
      full_(work.source, work.analysis->list()),
      ahead_(work.source, work.analysis->list()) {}

void SegmentRenderer::render(const Segment& segment, FrameSink& sink) {
    if (!view_) {
        view_.emplace(editor_.job(), full_.info());
    }
    const auto frames =
        prefetch(std::make_unique<Stretch>(full_, segment.first, segment.end, watch_.clock));
    if (segment.keys.empty()) {
        render_frames(segment, *frames, sink);
    } else {
        render_keys(segment, *frames, sink);
    }
}

/// Each frame on its own, in batches that begin with the segment.
void SegmentRenderer::render_frames(const Segment& segment, FrameSource& frames, FrameSink& sink) {
    for (int64_t place = segment.first; place < segment.end;) {
        const int64_t count = std::min(editor_.job().batch, segment.end - place);
        std::vector<Frame> batch;
        for (int64_t i = 0; i < count; ++i) {
            batch.push_back(*frames.next());
        }
        const FrameBatch shown = view_->batch(batch);
        const auto edited = editor_.render(shown, watch_);
        for (int64_t i = 0; i < count; ++i) {
            sink.put(view_->returned(batch[static_cast<size_t>(i)], shown.pictures[i], edited[i]));
        }
        place += count;
        on_frames_(count);
    }
}

FrameBatch SegmentRenderer::read_small(FrameSource& frames, int64_t count) const {
    std::vector<FrameBatch> parts;
    for (int64_t i = 0; i < count; ++i) {
        parts.push_back(editor_.shrunk(view_->batch({*frames.next()})));
        if (watch_.on_pause) {
            watch_.on_pause("propagate");
        }
    }
    return parts.empty() ? FrameBatch{} : FrameBatch::joined(parts);
}

void SegmentRenderer::find_anchor(const Segment& segment) {
    if (anchor_place_ != segment.anchor) {
        Stretch frames(ahead_, segment.anchor, segment.anchor + 1, watch_.clock);
        edit_key_.emplace(editor_, read_small(frames, 1));
        anchor_place_ = segment.anchor;
    }
}

KeyFrame SegmentRenderer::key_frame(int64_t place, FrameBatch frame) {
    auto edit = (*edit_key_)(frame, watch_);
    return {place, std::move(frame), std::move(edit)};
}

/// Motion into the places after `first` up to `last`.
std::vector<FlowPair> SegmentRenderer::motion(int64_t first, int64_t last) const {
    const bool wanted = uses_motion(mode_, editor_.job().plan);
    std::vector<FlowPair> steps;
    for (int64_t place = first + 1; wanted && place <= last; ++place) {
        const auto& frame = work_.analysis->list()[static_cast<size_t>(place)];
        steps.push_back(work_.analysis->motion_into(frame.index));
    }
    return steps;
}

void SegmentRenderer::render_keys(const Segment& segment, FrameSource& frames, FrameSink& sink) {
    find_anchor(segment);
    const bool known = last_key_ && last_key_->place == segment.keys.front();
    const int64_t first = segment.keys.front() + (known ? 1 : 0);
    const auto ahead =
        prefetch(std::make_unique<Stretch>(ahead_, first, segment.keys.back() + 1, watch_.clock));
    KeyFrame before = known ? *last_key_ : key_frame(segment.keys.front(), read_small(*ahead, 1));
    for (size_t i = 1; i < segment.keys.size(); ++i) {
        const int64_t next = segment.keys[i];
        const int64_t between = next - before.place - 1;
        FrameBatch inner = read_small(*ahead, between);
        KeyFrame after = key_frame(next, read_small(*ahead, 1));
        put({before.frame.pictures, before.edit}, frames, sink);
        if (between > 0) {
            KeyInterval interval{.anchor = edit_key_->anchor(),
                                 .before = before,
                                 .after = after,
                                 .frames = std::move(inner),
                                 .motion = motion(before.place, next)};
            const auto edited = mode_.make(editor_, interval, watch_);
            put({interval.frames.pictures, edited}, frames, sink);
        }
        before = std::move(after);
    }
    if (segment.keys.back() == segment.end - 1) {
        put({before.frame.pictures, before.edit}, frames, sink);
    }
    last_key_ = std::move(before);
}

void SegmentRenderer::put(const Edits& edits, FrameSource& frames, FrameSink& sink) {
    for (int64_t i = 0; i < edits.edited.size(0); ++i) {
        const Frame frame = *frames.next();
        const FrameBatch shown = view_->batch({frame});
        const auto finished = editor_.finish(shown, edits.small.slice(0, i, i + 1),
                                             edits.edited.slice(0, i, i + 1), watch_);
        sink.put(view_->returned(frame, shown.pictures[0], finished[0]));
        on_frames_(1);
    }
}

}  // namespace weft
