#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/media/frame.h"
#include "io/media/writer.h"

namespace weft {

// Note [Segments]
// A clip can be encoded in parts: each by an encoder of its own with the same settings, so each
// begins with a key frame, and each into a file of its own. Joining them is a remux. The codec's
// parameters come from the settings alone and are the same for all parts; players see one stream.
// Presentation times and durations are kept to the tick. Decoding times are made anew over the
// whole clip, because encoders guess them for their first pictures: with a reordering of at most d
// pictures anywhere, the n-th packet is decoded when the picture d places earlier is shown, which
// rises strictly and is never after the packet's own time.

/// True where what would be written to `out` can be joined from segments: one file of a container
/// and a codec whose packets stand for themselves. False for pipes, pictures, image sequences, gif
/// and y4m. Throws as create_video for names and codecs that do not go together.
bool can_join(const std::filesystem::path& out, const StreamInfo& info,
              const WriteOptions& options);

/// What a segment's encoder makes of a clip, as text: codec, pixel format, size, colour tags, pixel
/// aspect, rates and the stream's headers. Segments whose texts differ do not go together.
std::string describe_stream(const std::filesystem::path& out, const StreamInfo& info,
                            const WriteOptions& options);

/// Encodes frames into a segment file that appears whole or not at all. Options and errors are
/// those of create_video for `out`, the file that segments will be joined to.
/// @param digest kept in the file; see segment_digest()
std::unique_ptr<FrameSink> create_segment(const std::filesystem::path& file,
                                          const std::filesystem::path& out, const StreamInfo& info,
                                          const WriteOptions& options, const std::string& digest);

/// The digest that a segment file was made with; nullopt where there is no file or it is not whole.
std::optional<std::string> segment_digest(const std::filesystem::path& file);

/// What join_segments() did not do as asked, one sentence each.
using JoinWarnings = std::vector<std::string>;

/// Joins segment files, in order, with the other streams of options.side_source. Memory depends on
/// the number of frames by 8 bytes each. OUT appears when it is whole.
/// @param stop looked at between packets; may be null
/// @throws Error as create_video, and for a file that is damaged, out of order or was encoded with
///         other settings; Interrupted
JoinWarnings join_segments(const std::filesystem::path& out, const StreamInfo& info,
                           const WriteOptions& options,
                           const std::vector<std::filesystem::path>& files,
                           const std::atomic<bool>* stop = nullptr);

}  // namespace weft
