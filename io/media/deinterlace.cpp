#include "io/media/deinterlace.h"

namespace weft {

Deinterlacer::Deinterlacer(const AVFrame& like, AVRational time_base)
    : graph_({.width = like.width,
              .height = like.height,
              .format = like.format,
              .time_base = time_base},
             "bwdif=mode=send_frame:parity=auto:deint=interlaced") {}

void Deinterlacer::put(AVFrame* frame) {
    if (frame != nullptr)
        frame->pts = frame->best_effort_timestamp;
    graph_.put(frame);
}

bool Deinterlacer::take(AVFrame& frame) {
    if (!graph_.take(frame))
        return false;
    frame.best_effort_timestamp = frame.pts;
    return true;
}

}  // namespace weft
