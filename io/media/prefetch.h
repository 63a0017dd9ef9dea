#pragma once

#include <cstddef>
#include <memory>

#include "io/media/frame.h"

namespace weft {

/// A source that decodes up to `depth` frames ahead on a thread of its own. An error of `source`
/// reaches the caller of next() after the frames before it. Destroying it stops the thread.
std::unique_ptr<FrameSource> prefetch(std::unique_ptr<FrameSource> source, size_t depth = 4);

/// A sink that encodes behind on a thread of its own; put() returns at once while fewer than
/// `depth` frames wait and shares the frame's tensor, so the caller must not change it afterwards.
/// An error of `sink` reaches the next put() or finish(). Destroying it without finish() drops what
/// waits and discards the output.
std::unique_ptr<FrameSink> write_behind(std::unique_ptr<FrameSink> sink, size_t depth = 4);

}  // namespace weft
