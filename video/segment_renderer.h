#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "video/clip_work.h"
#include "video/editor.h"
#include "video/frame_view.h"
#include "video/in_between.h"
#include "video/key_editor.h"

namespace weft {

/// Renders segments of a clip. A segment's frames depend on the editor's job, the clip and the
/// segment alone: whatever was rendered before only saves work. Memory depends on the frame's size
/// and the longest key interval. Thread-safe: no.
class SegmentRenderer {
  public:
    /// All must outlive this. @param on_frames called with the number of frames put
    SegmentRenderer(const Editor& editor, const ClipWork& work, RenderWatch watch,
                    std::function<void(int64_t)> on_frames);

    const StreamInfo& info() { return full_.info(); }

    /// Puts the segment's frames, at the source's size, in order. Does not finish the sink.
    void render(const Segment& segment, FrameSink& sink);

    /// Of the readers, one sentence each.
    std::vector<std::string> warnings() const { return full_.warnings(); }

  private:
    /// Edits of consecutive places.
    struct Edits {
        torch::Tensor small;  // [n, 3, content]
        torch::Tensor edited;
    };

    void render_frames(const Segment& segment, FrameSource& frames, FrameSink& sink);
    void render_keys(const Segment& segment, FrameSource& frames, FrameSink& sink);
    void put(const Edits& edits, FrameSource& frames, FrameSink& sink);
    FrameBatch read_small(FrameSource& frames, int64_t count) const;
    void find_anchor(const Segment& segment);
    KeyFrame key_frame(int64_t place, FrameBatch frame);
    std::vector<FlowPair> motion(int64_t first, int64_t last) const;

    const Editor& editor_;
    const ClipWork& work_;
    RenderWatch watch_;
    std::function<void(int64_t)> on_frames_;
    const InBetween& mode_;
    ClipCursor full_;   // for finishing
    ClipCursor ahead_;  // for what the model sees: up to the next key frame
    std::optional<FrameView> view_;
    int64_t anchor_place_ = -1;
    std::optional<KeyEditor> edit_key_;
    std::optional<KeyFrame> last_key_;
};

}  // namespace weft
