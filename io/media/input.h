#pragma once

// Opening media files with libav under weft's limits, for sources of io/media only.

#include <filesystem>

#include "io/media/frame.h"
#include "io/media/libav.h"
#include "io/media/pipe.h"

namespace weft {

/// Opens a local file: regular files only, the `file` protocol only, no playlist formats (their
/// text can name other files), pictures by their exact name. Streams are probed, decoders capped to
/// `max_pixels`. Throws Error where the file is missing, a folder, empty or no media.
InputHandle open_input(const std::filesystem::path& path, int64_t max_pixels = 64'000'000);

/// Opens what a pipe brings, with the same rules. `pipe` must outlive the result. Throws
/// Interrupted where its wait for data was ended.
InputHandle open_input(PipeInput& pipe, const std::filesystem::path& path, int64_t max_pixels);

/// Number of the stream that is the clip's picture: the default one, else the largest; covers do
/// not count. -1 where there is none.
int main_video_stream(const AVFormatContext& input);

/// The decoder for a stream, null where there is none. VP8 and VP9 with an alpha channel need
/// libvpx: libavcodec's own decoders drop it.
const AVCodec* decoder_for(const AVStream& stream);

/// The length the headers (or Matroska's DURATION tag) give for one stream; zero where they do not.
Time declared_duration(const AVStream& stream);

/// What the headers say about stream `index`.
StreamInfo stream_info(const AVFormatContext& input, int index, const std::filesystem::path& path);
SideStream side_stream(const AVStream& stream);

}  // namespace weft
