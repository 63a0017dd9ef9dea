#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "io/media/frame.h"

namespace weft {

/// How a clip is encoded and what travels along with it.
struct WriteOptions {
    /// h264 h265 vp9 av1 prores ffv1 png; "auto": vp9 for .webm, h264 otherwise.
    std::string codec = "auto";
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
/// ...).
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
