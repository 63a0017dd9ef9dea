#pragma once

#include <torch/types.h>

#include <memory>
#include <vector>

#include "io/media/frame.h"
#include "io/media/picture_map.h"
#include "video/editor.h"

namespace weft {

/// How a clip's frames are shown to an editor, and how its edits become frames again: by the job's
/// picture map, where it has one; times and transparency are the source's.
/// Thread-safe: yes.
class FrameView {
  public:
    FrameView(const Job& job, const StreamInfo& info);

    /// What is written, as a stream.
    StreamInfo written(const StreamInfo& info) const;

    /// [3, h, w] RGB in [0, 1]
    torch::Tensor shown(const Frame& frame) const;
    /// Frames of one clip as a batch; times count from the clip's start.
    FrameBatch batch(const std::vector<Frame>& frames) const;
    /// The frame with an edit's colours.
    /// @param shown as shown(frame) gave it @param edited [3, h, w]
    Frame returned(const Frame& frame, const torch::Tensor& shown,
                   const torch::Tensor& edited) const;

  private:
    Time start_;
    std::shared_ptr<const PictureMap> map_;  // may be null
};

}  // namespace weft
