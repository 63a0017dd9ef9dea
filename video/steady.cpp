#include "video/steady.h"

#include <c10/util/StringUtil.h>

#include <deque>
#include <utility>

#include "io/media/prefetch.h"
#include "video/frame_view.h"
#include "video/run_parts.h"

namespace weft {
namespace {

/// Frames on their way through a deflicker, which gives them back later.
class SteadyWriter {
  public:
    SteadyWriter(const FrameView& view, const DeflickerOptions& options, FrameSink& sink)
        : view_(view), deflicker_(options), sink_(sink) {}

    void put(Frame frame) {
        auto shown = view_.shown(frame);  // [3, h, w]
        const auto steady = deflicker_.put(shown.unsqueeze(0));
        waiting_.emplace_back(std::move(frame), std::move(shown));
        if (steady) {
            write(*steady);
        }
    }

    /// The shot is over.
    void finish_shot() {
        for (const auto& steady : deflicker_.finish()) {
            write(steady);
        }
    }

  private:
    void write(const torch::Tensor& steady) {
        const auto& [frame, shown] = waiting_.front();
        sink_.put(view_.returned(frame, shown, steady[0]));
        waiting_.pop_front();
    }

    const FrameView& view_;
    Deflicker deflicker_;
    FrameSink& sink_;
    std::deque<std::pair<Frame, torch::Tensor>> waiting_;
};

}  // namespace

RunReport run_steady(const Job& job, const ClipWork& work, const DeflickerOptions& deflicker,
                     const RunOptions& options, StageClock& clock) {
    const torch::InferenceMode no_gradients;
    const auto& list = work.analysis->list();
    ProgressTeller progress(job, options, c10::str("'", options.out.string(), "' was not written"));
    auto source = open_clip(work.source);
    const StreamInfo info = source->info();
    const FrameView view(job, info);
    const auto writing = write_options(job, info, list.front().time,
                                       list.back().time + list.back().duration, options.overwrite);
    const auto sink = behind(create_video(options.out, view.written(info), writing), job, clock);
    const auto frames = prefetch(std::move(source));
    SteadyWriter writer(view, deflicker, *sink);
    RunReport report;
    while (auto frame = frames->next()) {
        progress.pause("deflicker");
        if (report.frames > 0 && work.analysis->shot_start(frame->index) == frame->index) {
            writer.finish_shot();
        }
        const StageClock::Lap lap(clock, Stage::propagate);
        writer.put(std::move(*frame));
        ++report.frames;
        progress.frames(1);
    }
    writer.finish_shot();
    sink->finish();
    report.elapsed_s = progress.elapsed_s();
    append(report.warnings, frames->warnings());
    append(report.warnings, sink->warnings());
    return report;
}

}  // namespace weft
