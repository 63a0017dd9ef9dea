#pragma once

// Image sequences, for sources of io/media only.

#include <memory>

#include "io/media/location.h"
#include "io/media/reader.h"
#include "io/media/writer.h"

namespace weft {

/// Streams the files of a sequence as frames: frame i is the file with the first number + i. Throws
/// Error where no file exists, files inside the chosen part are missing (Damage::skip: they are
/// counted, the frame before lasts until the next file) or their sizes differ.
std::unique_ptr<FrameSource> open_sequence(const Location& location, const ReadOptions& options);

/// Writes each frame as the file with number info.first_number + Frame::index; `location` may also
/// be one picture, which takes one frame. Files grow in a folder ".NAME.weft-part" beside the
/// target and get their names in finish(). Throws as create_video.
std::unique_ptr<FrameSink> create_pictures(const Location& location, const StreamInfo& info,
                                           const WriteOptions& options);

}  // namespace weft
