#pragma once

// Encoding sound anew for containers that cannot hold it as it is, for sources of io/media only.

#include <memory>

#include "io/media/libav.h"

struct AVFilterContext;
struct AVFilterGraph;

namespace weft {

/// Turns the packets of one audio stream into packets of a codec the target holds (aac for mp4 and
/// mov, opus for webm) at 96 kbit/s a channel, with their times. Thread-safe: no.
class AudioRecoder {
  public:
    /// An instance, or null where the source has no decoder or the target no known encoder.
    static std::unique_ptr<AudioRecoder> make(const AVStream& source, const AVOutputFormat& target);

    /// Describes the new stream to a muxer.
    void describe(AVStream& stream) const;
    /// Takes a packet of the source's time base, or null at its end. Packets that do not decode are
    /// passed over, as players do.
    void put(const AVPacket* packet);
    /// Gives a finished packet in `time_base()`; false where none is ready.
    bool take(AVPacket& packet);

    AVRational time_base() const { return encoder_->time_base; }

    const char* codec() const { return encoder_->codec->name; }

  private:
    struct GraphDelete {
        void operator()(AVFilterGraph* p) const;
    };

    AudioRecoder() = default;
    bool open_decoder(const AVStream& source);
    bool open_encoder(const AVOutputFormat& target);
    void link_filters(AVRational source_base);
    void pass_on();

    CodecHandle decoder_;
    CodecHandle encoder_;
    std::unique_ptr<AVFilterGraph, GraphDelete> graph_;
    AVFilterContext* source_ = nullptr;
    AVFilterContext* sink_ = nullptr;
};

}  // namespace weft
