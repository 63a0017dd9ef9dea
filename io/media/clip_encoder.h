#pragma once

// The picture's way from frames to packets, whatever becomes of the packets, for sources of
// io/media only.

#include <optional>
#include <string>
#include <vector>

#include "io/media/encoder.h"

namespace weft {

/// Encodes the frames of a clip and keeps what its end needs to know. Thread-safe: no.
class ClipEncoder {
  public:
    /// As VideoEncoder. Times of the output count from `options.from`, where it is given.
    ClipEncoder(const StreamInfo& info, const WriteOptions& options, const AVOutputFormat& target,
                std::string name);

    void put(const Frame& frame);
    /// Says that no more frames come. Error where none came.
    void flush();

    /// Takes a packet in time_base(), with its duration; false where none is ready.
    bool receive(AVPacket& packet) { return encoder_.receive(packet); }

    void describe(AVStream& stream) const { encoder_.describe(stream); }

    Rational time_base() const { return encoder_.time_base(); }

    bool keeps_alpha() const { return encoder_.keeps_alpha(); }

    /// On the output's clock: when the first frame comes and when the last one goes.
    const Time& start() const { return start_; }

    const Time& end() const { return end_; }

    /// Whether transparency was put in that the codec cannot hold.
    bool lost_alpha() const { return lost_alpha_; }

    /// What the codec does to such a clip, one sentence each.
    std::vector<std::string> warnings() const;

  private:
    void check_size(const Frame& frame) const;

    std::string name_;
    StreamInfo info_;
    Time from_;
    VideoEncoder encoder_;
    int64_t frames_ = 0;
    Time start_;
    Time end_;
    bool lost_alpha_ = false;
};

/// The sentence about transparency that is lost.
inline constexpr const char* lost_alpha_warning =
    "transparency is lost: this codec has none; --codec ffv1, prores or vp9 has";

}  // namespace weft
