#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/media/color.h"
#include "io/media/time.h"

namespace weft {

/// One picture of a clip.
struct Frame {
    /// [3, h, w] RGB or [4, h, w] RGBA (straight alpha), float32 on the CPU, black 0, white 1. Code
    /// values beyond white or outside the RGB gamut are kept as numbers outside 0..1, so that an
    /// unedited frame is written with the code values it was read from.
    torch::Tensor pixels;
    int64_t index = 0;  // number in the source, the first is 0, whatever part of it is read
    Time time;          // when it is shown, on the source's clock (a start offset is kept)
    Time duration;      // how long it is shown; > 0
    ColorTag color;     // as tagged in the source; `pixels` are RGB by its matrix and range
    /// [1, h, w] in [0, 1]: how far an edit may change the frame; undefined: wholly. Nothing here
    /// reads it.
    torch::Tensor mask = {};
};

/// A stream beside the picture.
struct SideStream {
    int index = 0;  // number in the file
    std::string
        kind;  // "audio", "subtitle", "video" (covers, further pictures), "data", "attachment"
    std::string codec;        // "aac", "subrip", ...
    std::string language;     // ISO 639-2, empty where unknown
    int sample_rate = 0;      // Hz; audio only
    int channels = 0;         // audio only
    Time duration;            // 0 where unknown
    bool is_default = false;  // disposition
};

class LiveStreams;  // streams of a pipe beside its picture (live_streams.h)

/// What is known of a clip before its frames are read.
struct StreamInfo {
    std::filesystem::path path;  // empty for clips that come from no file
    std::string container;       // "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi" ...
    std::string codec;           // "h264" ...
    std::string pixel_format;    // "yuv420p" ...
    int64_t width = 0;           // pixels as delivered, after `rotation`
    int64_t height = 0;
    Rational sar;  // pixel aspect as delivered; 0 where unknown (square)
    // Degrees clockwise (0, 90, 180, 270) that the reader turns stored pictures by; then, where
    // `mirrored`, it flips them left to right.
    int rotation = 0;
    bool mirrored = false;
    Rational frame_rate;           // average, frames a second; 0 where unknown
    Rational time_base{1, 90000};  // of the source; every frame time is a whole number of it
    int64_t frames = 0;            // estimate; 0 where unknown
    Time start;                    // declared time of the first frame
    Time duration;                 // declared length; 0 where unknown
    ColorTag color;                // as tagged
    int bit_depth = 8;             // of the widest component
    bool is_float = false;         // components are floating point; bit_depth is then 16 or 32
    bool has_alpha = false;
    bool interlaced = false;
    // Number in the name of the first file of an image sequence, whatever part of it is read.
    int64_t first_number = 1;
    std::vector<SideStream> others;
    std::shared_ptr<LiveStreams> live;  // of a pipe opened with keep_streams; else null
};

/// Gives the frames of a clip in the order they are shown. Thread-safe: no (one caller at a time).
class FrameSource {
  public:
    FrameSource() = default;
    FrameSource(const FrameSource&) = delete;
    FrameSource& operator=(const FrameSource&) = delete;
    virtual ~FrameSource() = default;

    /// The next frame, nullopt after the last one. The tensor belongs to the caller.
    /// Throws Error where the source is damaged.
    virtual std::optional<Frame> next() = 0;
    virtual const StreamInfo& info() const = 0;

    /// What the user should know about the part read so far (a repaired time stamp, a dropped
    /// frame).
    virtual std::vector<std::string> warnings() const { return {}; }
};

/// Takes the frames of a clip in the order they are shown. Thread-safe: no (one caller at a time).
class FrameSink {
  public:
    FrameSink() = default;
    FrameSink(const FrameSink&) = delete;
    FrameSink& operator=(const FrameSink&) = delete;
    virtual ~FrameSink() = default;

    /// Takes one frame; times must rise. Throws Error where it cannot be written.
    virtual void put(const Frame& frame) = 0;
    /// Completes the output; it exists under its name only after this returns. Without it the
    /// destructor removes what was written.
    virtual void finish() = 0;

    /// What could not be carried over, one sentence each.
    virtual std::vector<std::string> warnings() const { return {}; }
};

}  // namespace weft
