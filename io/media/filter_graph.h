#pragma once

// Short chains of libavfilter's filters, for sources of io/media only.

#include <memory>
#include <string>

#include "io/media/libav.h"

struct AVFilterContext;
struct AVFilterGraph;

namespace weft {

/// What goes into a graph.
struct GraphInput {
    int width = 0;
    int height = 0;
    int format = AV_PIX_FMT_NONE;
    AVRational time_base{1, 1};
};

/// A graph of picture filters with one input and one output. Thread-safe: no.
class FilterGraph {
  public:
    /// @param chain filters as ffmpeg's -vf takes them; weft's own text, so mistakes are bugs
    FilterGraph(const GraphInput& input, const std::string& chain);

    /// Takes a picture (its content moves away), or null at the end.
    void put(AVFrame* frame);
    /// Gives the next finished picture, its pts in the input's time base; false where none is
    /// ready.
    bool take(AVFrame& frame);

  private:
    struct GraphDelete {
        void operator()(AVFilterGraph* p) const;
    };

    std::unique_ptr<AVFilterGraph, GraphDelete> graph_;
    AVFilterContext* source_ = nullptr;
    AVFilterContext* sink_ = nullptr;
    AVRational time_base_;
};

}  // namespace weft
