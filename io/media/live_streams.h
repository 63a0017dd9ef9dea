#pragma once

// The streams of a pipe, which can be read only once, for sources of io/media only.

#include <deque>
#include <mutex>

#include "io/media/libav.h"

namespace weft {

/// Hands the packets beside the picture from the reader of a pipe to the writer of its result. The
/// writer follows the reader by a few frames, so few packets wait. Thread-safe: yes.
class LiveStreams {
  public:
    /// @param input   the opened pipe; its streams, chapters and tags are copied
    /// @param picture number of the picture's stream
    LiveStreams(const AVFormatContext& input, int picture);

    int picture() const { return picture_; }

    /// A context that describes the streams and holds no file.
    InputHandle describe() const;

    /// Takes a packet of any stream. Throws Error where more than 256 MB wait.
    void push(const AVPacket& packet);
    /// Gives the oldest packet; false where none waits.
    bool pop(AVPacket& packet);

  private:
    InputHandle streams_;
    int picture_;
    std::mutex mutex_;
    std::deque<PacketHandle> packets_;
    int64_t waiting_bytes_ = 0;
};

}  // namespace weft
