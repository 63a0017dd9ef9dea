#pragma once

// Making full pictures of interlaced ones, for sources of io/media only.

#include "io/media/filter_graph.h"

namespace weft {

/// Turns each interlaced picture into one progressive picture with the same time (libavfilter's
/// bwdif, which looks one picture ahead); progressive pictures pass unchanged. Thread-safe: no.
class Deinterlacer {
  public:
    /// @param like a picture of the stream: size and format
    Deinterlacer(const AVFrame& like, AVRational time_base);

    /// Takes a picture (its content moves away), or null at the end of the stream.
    void put(AVFrame* frame);
    /// Gives the next finished picture; false where none is ready.
    bool take(AVFrame& frame);

  private:
    FilterGraph graph_;
};

}  // namespace weft
