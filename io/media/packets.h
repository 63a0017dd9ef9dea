#pragma once

// Reading the packets of one stream and noticing what is missing, for sources of io/media only.

#include <optional>
#include <string>

#include "io/media/libav.h"
#include "io/media/live_streams.h"

namespace weft {

/// Gives the packets of one stream and keeps what is needed to tell a whole file from a cut one:
/// the number of packets the index promises and how far the streams reach. Thread-safe: no.
class PacketReader {
  public:
    /// Reads from the current position of `input`, which must outlive this.
    /// @param others takes the packets of the other streams; may be null
    PacketReader(AVFormatContext& input, int stream, LiveStreams* others = nullptr);

    /// The next packet of the stream, owned by this until the next call; null at the end of the
    /// file.
    const AVPacket* next();

    /// Passes packets on to `others` until all of it is read or a packet starts after `end`, of the
    /// input's clock.
    void pass_others(const Time& end);

    /// What was wrong with the packet just read or with reading it; empty: nothing.
    const std::string& problem() const { return problem_; }

    /// At the end of the file: what it promised and does not hold, empty where it is whole.
    /// Containers without such promises (mpeg-ts, raw streams) count as whole.
    std::string shortfall() const;

  private:
    void note(const AVPacket& packet);

    AVFormatContext& input_;
    int stream_;
    LiveStreams* others_;
    PacketHandle packet_;
    std::string problem_;
    int64_t packets_ = 0;            // of the stream
    std::optional<Time> video_end_;  // furthest end of its packets
    std::optional<Time> file_end_;   // furthest end of any stream's packets
};

}  // namespace weft
