#include "io/media/filter_graph.h"

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

/// One open end of a graph under construction, for avfilter_graph_parse_ptr.
AVFilterInOut* open_end(const char* label, AVFilterContext* filter) {
    AVFilterInOut* end = avfilter_inout_alloc();
    TORCH_CHECK(end != nullptr, "out of memory");
    end->name = av_strdup(label);
    end->filter_ctx = filter;
    end->pad_idx = 0;
    end->next = nullptr;
    return end;
}

}  // namespace

void FilterGraph::GraphDelete::operator()(AVFilterGraph* p) const {
    avfilter_graph_free(&p);
}

FilterGraph::FilterGraph(const GraphInput& input, const std::string& chain)
    : graph_(avfilter_graph_alloc()), time_base_(input.time_base) {
    TORCH_CHECK(graph_ != nullptr, "out of memory");
    graph_->nb_threads = 1;
    source_ = add_filter(
        *graph_, "buffer",
        c10::str("width=", input.width, ":height=", input.height, ":pix_fmt=", input.format,
                 ":time_base=", time_base_.num, "/", time_base_.den));
    sink_ = add_filter(*graph_, "buffersink", "");
    AVFilterInOut* outputs = open_end("in", source_);
    AVFilterInOut* inputs = open_end("out", sink_);
    int code = avfilter_graph_parse_ptr(graph_.get(), chain.c_str(), &inputs, &outputs, nullptr);
    avfilter_inout_free(&inputs);
    avfilter_inout_free(&outputs);
    if (code >= 0)
        code = avfilter_graph_config(graph_.get(), nullptr);
    TORCH_CHECK(code >= 0, "filter chain '", chain, "': ", error_text(code));
}

void FilterGraph::put(AVFrame* frame) {
    const int code = av_buffersrc_add_frame(source_, frame);
    TORCH_CHECK(code >= 0, "a filter fails: ", error_text(code));
}

bool FilterGraph::take(AVFrame& frame) {
    const int code = av_buffersink_get_frame(sink_, &frame);
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF)
        return false;
    TORCH_CHECK(code >= 0, "a filter fails: ", error_text(code));
    if (frame.pts != AV_NOPTS_VALUE)
        frame.pts = av_rescale_q(frame.pts, av_buffersink_get_time_base(sink_), time_base_);
    return true;
}

}  // namespace weft
