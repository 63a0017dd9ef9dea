#pragma once

// Mastering display and light level data inside the coded picture, for sources of io/media only.

#include "io/media/libav.h"

namespace weft {

/// Copies what the first picture of `input`'s stream says of its mastering display and light levels
/// to `to`, where the stream itself does not say it: encoders write it into the bitstream, which
/// muxers do not see. Reads packets; the caller opens the file anew. Does nothing where the picture
/// says nothing.
void copy_light_metadata(AVFormatContext& input, int stream, AVStream& to);

}  // namespace weft
