#pragma once

#include <cstddef>
#include <memory>

#include "io/media/frame.h"

namespace weft {

/// A source that decodes ahead on a thread of its own: up to `depth` frames that are kept and one
/// that waits to be taken. An error of `source` reaches the caller of next() after the frames
/// before it. Destroying it stops the thread.
std::unique_ptr<FrameSource> prefetch(std::unique_ptr<FrameSource> source, size_t depth = 0);

/// A sink that encodes behind on a thread of its own; put() returns at once while fewer than
/// `depth` frames wait, with a depth of 0 once the thread has ended the frame before, and shares
/// the frame's tensor, so the caller must not change it afterwards. An error of `sink` reaches the
/// next put() or finish(). Destroying it without finish() drops what waits and discards the output.
std::unique_ptr<FrameSink> write_behind(std::unique_ptr<FrameSink> sink, size_t depth = 0);

}  // namespace weft
