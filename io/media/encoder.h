#pragma once

// The picture encoders, for sources of io/media only.

#include <array>
#include <map>
#include <string>
#include <vector>

#include "io/media/convert.h"
#include "io/media/writer.h"

namespace weft {

/// One codec a user can name. Formats are AV_PIX_FMT_NONE where the codec has none of that kind.
struct CodecEntry {
    const char* name;          // WriteOptions::codec
    const char* encoder;       // libavcodec's name
    double crf;                // default quality; < 0: the codec has no such scale
    double max_crf;            // its worst quality
    AVPixelFormat plain;       // 8 bit
    AVPixelFormat deep;        // 10 bit and more
    AVPixelFormat odd;         // 8 bit, odd width or height
    AVPixelFormat deep_odd;    // 10 bit and more, odd width or height
    AVPixelFormat alpha;       // with alpha, 8 bit
    AVPixelFormat deep_alpha;  // with alpha, 10 bit and more
};

/// All codecs, the default first.
const std::vector<CodecEntry>& codec_table();

/// Encodes frames of one size to packets. Thread-safe: no.
class VideoEncoder {
  public:
    /// @param target container the packets go to
    /// @param name   of the output, for errors
    /// Throws UsageError for an unknown codec or a quality out of its range, Error where codec and
    /// container do not go together or the encoder is missing.
    VideoEncoder(const StreamInfo& info, const WriteOptions& options, const AVOutputFormat& target,
                 std::string name);

    /// Describes the encoded stream to a muxer.
    void describe(AVStream& stream) const;
    /// Encodes a frame shown at `time` of the output's clock.
    void send(const Frame& frame, const Time& time);
    /// Says that no more frames come; receive() then gives the rest.
    void flush();
    /// Takes a packet in `time_base()` with its duration; false where none is ready.
    bool receive(AVPacket& packet);

    Rational time_base() const { return from_av(context_->time_base); }

    bool keeps_alpha() const { return has_alpha_plane(context_->pix_fmt); }

    bool is_444_for_odd_size() const { return odd_; }

  private:
    void configure(const StreamInfo& info, const WriteOptions& options);
    void set_private(const WriteOptions& options, Options& dictionary) const;
    AVPixelFormat choose_format(const StreamInfo& info);
    int64_t ticks_of(const Time& time) const;
    void give(const AVFrame* frame);

    const CodecEntry* entry_ = nullptr;
    std::string name_;
    bool constant_rate_ = false;  // the container counts frames instead of storing times
    Rational source_time_base_;
    bool odd_ = false;
    CodecHandle context_;
    std::optional<PictureEncoder> pictures_;
    std::optional<int64_t> last_pts_;
    std::map<int64_t, int64_t> durations_;  // pts -> duration of frames inside the encoder
};

}  // namespace weft
