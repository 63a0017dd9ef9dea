#pragma once

// The picture encoders, for sources of io/media only.

#include <map>
#include <optional>
#include <string>

#include "io/media/codecs.h"
#include "io/media/convert.h"
#include "io/media/filter_graph.h"
#include "io/media/writer.h"

namespace weft {

/// Encodes frames of one size to packets. Thread-safe: no.
class VideoEncoder {
  public:
    /// @param target container the packets go to
    /// @param name   of the output, for errors
    /// Throws UsageError for an unknown codec, encoder option or a quality out of its range, Error
    /// where codec and container do not go together or the encoder is missing.
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

    bool keeps_alpha() const { return has_alpha_plane(format_); }

    bool is_444_for_odd_size() const { return odd_; }

  private:
    const AVCodec& find_encoder(const AVOutputFormat& target) const;
    void configure(const StreamInfo& info, const WriteOptions& options, AVPixelFormat format);
    void set_timing(const StreamInfo& info);
    void set_private(const WriteOptions& options, Options& dictionary) const;
    void open(const StreamInfo& info, Options& dictionary);
    int64_t ticks_of(const Time& time) const;
    void give(const AVFrame* frame);
    void give_reduced();

    const CodecEntry* entry_ = nullptr;
    std::string name_;
    bool constant_rate_ = false;  // the container counts frames instead of storing times
    Rational source_time_base_;
    bool odd_ = false;
    AVPixelFormat format_ = AV_PIX_FMT_NONE;  // of the pictures made, before a palette is chosen
    CodecHandle context_;
    std::optional<PictureEncoder> pictures_;
    std::optional<FilterGraph> palette_;  // gif: gives each picture its best 256 colours
    std::optional<int64_t> last_pts_;
    std::map<int64_t, int64_t> durations_;  // pts -> duration of frames inside the encoder
};

}  // namespace weft
