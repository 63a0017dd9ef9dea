#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "io/files/error.h"
#include "io/media/frame.h"

namespace weft {

/// The reader of a pipe that was being written has gone: no failure a user needs to hear of.
class ClosedPipe : public Error {
  public:
    using Error::Error;
};

/// How a clip is encoded and what travels along with it.
struct WriteOptions {
    /// A name of available_codecs(); "auto": what the container is made for (vp9 in .webm), h264
    /// otherwise. Image sequences: "auto" or their own ending.
    std::string codec = "auto";
    /// libav's name of the container ("matroska", "nut", "mpegts", "yuv4mpegpipe" ...); "auto": by
    /// the name's ending; matroska for pipes.
    std::string container = "auto";
    /// Further options of libavcodec's encoder, "key=value:key=value" ("\\:" inside a value);
    /// pix_fmt chooses the pixel format. They override what weft sets.
    std::string encoder_options = {};
    /// Constant quality, 0 (best) to 51 (h264, h265) or 63 (vp9, av1); default 18, 20, 24, 24.
    std::optional<double> crf = std::nullopt;
    /// Encoder speed, "ultrafast" to "veryslow" (h264, h265); default "medium".
    std::string preset = "medium";
    /// File whose audio, subtitles, chapters, tags and attachments are carried over untouched;
    /// empty: nothing is.
    std::filesystem::path side_source = {};
    /// Part of the source's clock that is written: other streams are cut to [from, to). The time
    /// `from` becomes 0 in the output; unset, times are written as they are.
    std::optional<Time> from = std::nullopt;
    std::optional<Time> to = std::nullopt;
    /// Where other streams end when `to` is not given: with their source, or with the last frame
    /// written (for parts whose end is a frame number).
    enum class End { source, last_frame } end = End::source;
    /// Replace an existing file; otherwise it is an Error.
    bool overwrite = false;
    /// Of the encoder. Fixed rather than the machine's count: x264's result depends on it.
    int threads = 2;
};

/// Writes frames to a video file; the container follows from the name (.mp4 .mov .mkv .webm .avi
/// .gif ...). A picture's ending (.png .jpg .tif .dpx .exr) makes one picture, with a pattern
/// ("shot.%04d.exr") or a folder an image sequence numbered like the source; "-" or a FIFO a
/// stream.
///
/// Size, pixel aspect, colour tags, time base and frame rate come from `info`; frames must have its
/// size. Frame times are kept exactly where the container can (mp4, mov, avi; mkv and webm count in
/// milliseconds), durations too, so variable frame rates stay variable. Ten bits and more in give
/// at least ten bits out where the codec can. H.264 and H.265 code odd sizes as 4:4:4, because
/// 4:2:0 cannot express them; alpha is kept by vp9, prores, ffv1 and png.
///
/// The file grows under ".NAME.weft-part" beside the target; finish() syncs and renames it, the
/// destructor without finish() removes it.
/// @throws Error where the target exists (unless overwrite), is the side source, cannot be written,
///         or where codec, container and size do not go together
std::unique_ptr<FrameSink> create_video(const std::filesystem::path& path, const StreamInfo& info,
                                        const WriteOptions& options = {});

}  // namespace weft
