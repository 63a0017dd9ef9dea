#include "io/media/deinterlace.h"

#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>

extern "C" {
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
}

namespace weft {
namespace {

AVFilterContext* add_filter(AVFilterGraph& graph, const char* name, const std::string& arguments) {
    AVFilterContext* made = nullptr;
    const AVFilter* filter = avfilter_get_by_name(name);
    TORCH_CHECK(filter != nullptr, "libavfilter lacks ", name);
    const int code =
        avfilter_graph_create_filter(&made, filter, name, arguments.c_str(), nullptr, &graph);
    TORCH_CHECK(code >= 0, "filter ", name, " refuses '", arguments, "': ", error_text(code));
    return made;
}

}  // namespace

void Deinterlacer::GraphDelete::operator()(AVFilterGraph* p) const {
    avfilter_graph_free(&p);
}

Deinterlacer::Deinterlacer(const AVFrame& like, AVRational time_base)
    : graph_(avfilter_graph_alloc()), time_base_(time_base) {
    TORCH_CHECK(graph_ != nullptr, "out of memory");
    graph_->nb_threads = 1;
    source_ =
        add_filter(*graph_, "buffer",
                   c10::str("width=", like.width, ":height=", like.height, ":pix_fmt=", like.format,
                            ":time_base=", time_base.num, "/", time_base.den));
    AVFilterContext* deinterlace =
        add_filter(*graph_, "bwdif", "mode=send_frame:parity=auto:deint=interlaced");
    sink_ = add_filter(*graph_, "buffersink", "");
    int code = avfilter_link(source_, 0, deinterlace, 0);
    if (code >= 0)
        code = avfilter_link(deinterlace, 0, sink_, 0);
    if (code >= 0)
        code = avfilter_graph_config(graph_.get(), nullptr);
    TORCH_CHECK(code >= 0, "no deinterlacer: ", error_text(code));
}

void Deinterlacer::put(AVFrame* frame) {
    if (frame != nullptr)
        frame->pts = frame->best_effort_timestamp;
    const int code = av_buffersrc_add_frame(source_, frame);
    TORCH_CHECK(code >= 0, "the deinterlacer fails: ", error_text(code));
}

bool Deinterlacer::take(AVFrame& frame) {
    const int code = av_buffersink_get_frame(sink_, &frame);
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF)
        return false;
    TORCH_CHECK(code >= 0, "the deinterlacer fails: ", error_text(code));
    if (frame.pts != AV_NOPTS_VALUE)
        frame.pts = av_rescale_q(frame.pts, av_buffersink_get_time_base(sink_), time_base_);
    frame.best_effort_timestamp = frame.pts;
    return true;
}

}  // namespace weft
