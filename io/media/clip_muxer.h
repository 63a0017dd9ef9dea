#pragma once

// A picture's packets and the other streams on their way into one file, for sources of io/media
// only.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/media/clip_encoder.h"
#include "io/media/muxer.h"
#include "io/media/stream_copy.h"

namespace weft {

/// Writes the picture's packets into OUT with the other streams in step; OUT appears when it is
/// whole. Thread-safe: no.
class ClipMuxer {
  public:
    /// Opens OUT. Throws as create_video.
    ClipMuxer(const std::filesystem::path& path, const StreamInfo& info,
              const WriteOptions& options);
    ~ClipMuxer();
    ClipMuxer(const ClipMuxer&) = delete;
    ClipMuxer& operator=(const ClipMuxer&) = delete;

    const AVOutputFormat& format() const { return *output_->oformat; }

    /// Writes the header for what `encoder` makes. Once, before the first packet.
    void start(const ClipEncoder& encoder);
    /// The next packet of the picture in decoding order, in the encoder's time base; it is moved
    /// from.
    void put(AVPacket& packet);
    /// Completes the file. `start` and `end` are when the picture begins and ends, on its clock.
    void finish(const Time& start, const Time& end);

    /// What of the other streams could not be carried over, one sentence each.
    std::vector<std::string> warnings() const;

  private:
    class Target;

    void write_held();
    void fit_last_duration(const Time& shown);

    std::string name_;
    StreamInfo info_;
    WriteOptions options_;
    std::unique_ptr<Target> target_;
    OutputHandle output_;
    AVStream* stream_ = nullptr;
    Rational time_base_;  // of the packets
    std::optional<StreamCopy> others_;
    PacketHandle held_;  // the last packet so far
    int64_t packets_ = 0;
    int64_t first_dts_ = 0;
};

}  // namespace weft
