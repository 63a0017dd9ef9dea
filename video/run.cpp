#include "video/run.h"

#include <c10/util/StringUtil.h>

#include <optional>
#include <utility>

#include "io/files/error.h"
#include "io/media/prefetch.h"
#include "io/media/retime.h"
#include "video/frame_view.h"
#include "video/run_parts.h"

namespace weft {
namespace {

/// Counts the time spent in another source, on whatever thread it runs.
class TimedSource final : public FrameSource {
  public:
    TimedSource(std::unique_ptr<FrameSource> source, StageClock& clock)
        : source_(std::move(source)), clock_(clock) {}

    std::optional<Frame> next() override {
        const StageClock::Lap lap(clock_, Stage::decode_video);
        return source_->next();
    }

    const StreamInfo& info() const override { return source_->info(); }

    std::vector<std::string> warnings() const override { return source_->warnings(); }

  private:
    std::unique_ptr<FrameSource> source_;
    StageClock& clock_;
};

std::vector<Frame> next_batch(FrameSource& source, int64_t most) {
    std::vector<Frame> frames;
    while (static_cast<int64_t>(frames.size()) < most) {
        auto frame = source.next();
        if (!frame) {
            break;
        }
        frames.push_back(std::move(*frame));
    }
    return frames;
}

/// What becomes of a batch of frames.
using BatchEdit = std::function<std::vector<Frame>(std::vector<Frame>)>;

/// Reads, edits and writes batch by batch.
RunReport run_batches(const Job& job, std::unique_ptr<FrameSource> source,
                      const RunOptions& options, StageClock& clock,
                      const std::function<BatchEdit(ProgressTeller&, const StreamInfo&)>& start) {
    if (const auto rate = parse_rate(job.plan.fps)) {
        source = at_rate(std::move(source), *rate);
    }
    const StreamInfo info = source->info();
    const auto frames = prefetch(std::make_unique<TimedSource>(std::move(source), clock));
    const std::string outcome = c10::str("'", options.out.string(), "' was not written");
    ProgressTeller progress(job, options, outcome);
    const BatchEdit edit = start(progress, info);

    std::unique_ptr<FrameSink> sink;
    RunReport report;
    for (auto batch = next_batch(*frames, job.batch); !batch.empty();
         batch = next_batch(*frames, job.batch)) {
        throw_if_stopped(options, outcome);
        if (!sink) {
            const auto writing =
                write_options(job, info, batch.front().time, std::nullopt, options.overwrite);
            sink = behind(create_video(options.out, FrameView(job, info).written(info), writing),
                          job, clock);
        }
        for (const Frame& frame : edit(std::move(batch))) {
            sink->put(frame);
            ++report.frames;
            progress.frames(1);
        }
    }
    if (!sink) {
        throw Error(info.path.string(), "has no frame in the chosen part", "check --from and --to");
    }
    throw_if_stopped(options, outcome);
    sink->finish();
    report.elapsed_s = progress.elapsed_s();
    append(report.warnings, frames->warnings());
    append(report.warnings, sink->warnings());
    return report;
}

}  // namespace

RunReport run(const Editor& editor, std::unique_ptr<FrameSource> source, const RunOptions& options,
              StageClock& clock) {
    const auto start = [&](ProgressTeller& progress, const StreamInfo& info) -> BatchEdit {
        return [&editor, view = FrameView(editor.job(), info),
                watch = progress.watch(clock)](std::vector<Frame> batch) {
            const FrameBatch shown = view.batch(batch);
            const auto edited = editor.render(shown, watch);
            for (size_t i = 0; i < batch.size(); ++i) {
                const auto place = static_cast<int64_t>(i);
                batch[i] = view.returned(batch[i], shown.pictures[place], edited[place]);
            }
            return batch;
        };
    };
    RunReport report = run_batches(editor.job(), std::move(source), options, clock, start);
    append(report.warnings, editor.model().notes());
    return report;
}

RunReport run_untouched(const Job& job, std::unique_ptr<FrameSource> source,
                        const RunOptions& options, StageClock& clock) {
    const auto start = [&job](ProgressTeller& /*progress*/, const StreamInfo& info) -> BatchEdit {
        return
            [mapped = job.map != nullptr, view = FrameView(job, info)](std::vector<Frame> batch) {
                for (Frame& frame : batch) {
                    if (mapped) {  // another space may be asked for
                        const auto shown = view.shown(frame);
                        frame = view.returned(frame, shown, shown);
                    }
                }
                return batch;
            };
    };
    return run_batches(job, std::move(source), options, clock, start);
}

}  // namespace weft
