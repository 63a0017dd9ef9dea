#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "io/media/reader.h"
#include "video/mask.h"

namespace weft {

/// A frame of the part of a clip that is edited. Its place is its number in the list of all of
/// them, its index the number it has in the source.
struct ClipFrame {
    int64_t index = 0;  // Frame::index; rises from frame to frame, may leave numbers out
    Time time;
    Time duration;
    friend bool operator==(const ClipFrame&, const ClipFrame&) = default;
};

/// A file or an image sequence that can be read again, and how.
struct ClipSource {
    std::filesystem::path path;
    ReadOptions reading;           // with the part that is edited
    std::optional<Rational> rate;  // from --fps; see at_rate()
    MaskSource mask = {};          // frames of a ClipCursor carry it
};

/// Opens the frames that an edit sees: the part, at the wanted rate.
std::unique_ptr<FrameSource> open_clip(const ClipSource& source);

/// Gives frames of a clip by their places. Places that rise cost one decoding pass; going back or
/// far ahead opens the source anew at the frame wanted. Holds no frame. Thread-safe: no.
class ClipCursor {
  public:
    /// @param frames all frames of open_clip(source), as an earlier pass saw them
    ClipCursor(ClipSource source, std::vector<ClipFrame> frames);

    const StreamInfo& info();

    /// The frame at a place, with its time in the list. Throws Error where the source has changed
    /// or is damaged.
    Frame at(int64_t place);

    std::vector<std::string> warnings() const;

  private:
    void open_at(int64_t place);

    ClipSource source_;
    std::vector<ClipFrame> frames_;
    std::unique_ptr<FrameSource> open_;
    int64_t next_ = 0;  // places before this one are behind `open_`
};

}  // namespace weft
