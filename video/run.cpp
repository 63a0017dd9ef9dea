#include "video/run.h"

#include <c10/util/StringUtil.h>

#include <chrono>
#include <optional>
#include <utility>

#include "io/files/error.h"
#include "io/media/prefetch.h"
#include "io/media/retime.h"
#include "io/media/writer.h"

namespace weft {
namespace {

constexpr size_t queue_depth = 1;

/// Counts the time spent in another source, on whatever thread it runs.
class TimedSource : public FrameSource {
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

class TimedSink : public FrameSink {
  public:
    TimedSink(std::unique_ptr<FrameSink> sink, StageClock& clock)
        : sink_(std::move(sink)), clock_(clock) {}

    void put(const Frame& frame) override {
        const StageClock::Lap lap(clock_, Stage::encode_video);
        sink_->put(frame);
    }

    void finish() override {
        const StageClock::Lap lap(clock_, Stage::encode_video);
        sink_->finish();
    }

    std::vector<std::string> warnings() const override { return sink_->warnings(); }

  private:
    std::unique_ptr<FrameSink> sink_;
    StageClock& clock_;
};

/// The source's time of a position; a frame number counts at the average rate.
std::optional<Time> source_time(const std::optional<Position>& place, const StreamInfo& info) {
    if (!place) {
        return std::nullopt;
    }
    if (!place->frame) {
        return info.start + place->time;
    }
    if (info.frame_rate.is_zero()) {
        return std::nullopt;
    }
    return info.start + Time(Rational(*place->frame) / info.frame_rate);
}

WriteOptions write_options(const Job& job, const StreamInfo& info, const Frame& first,
                           bool overwrite) {
    return {.codec = job.plan.codec,
            .container = job.plan.container.empty() ? "auto" : job.plan.container,
            .encoder_options = job.plan.encoder_opts,
            .crf = job.plan.crf,
            .preset = job.plan.preset,
            .side_source = info.path,
            .from = job.from ? std::optional(first.time) : std::nullopt,
            .to = source_time(job.to, info),
            .overwrite = overwrite};
}

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

/// @param map shows the clip to the model; null: as it is
FrameBatch batch_of(const std::vector<Frame>& frames, const Time& start, const PictureMap* map) {
    FrameBatch batch;
    std::vector<torch::Tensor> pictures;
    for (const Frame& frame : frames) {
        const auto colours = frame.pixels.slice(0, 0, 3);
        pictures.push_back(map != nullptr ? map->shown(colours) : colours);
        batch.index.push_back(frame.index);
        batch.time_s.push_back((frame.time - start).seconds());
    }
    batch.pictures = torch::stack(pictures);  // [n, 3, h, w]
    return batch;
}

/// The frame with new colours; time and transparency are the source's.
Frame recoloured(const Frame& frame, const torch::Tensor& picture) {
    Frame result = frame;
    result.pixels =
        frame.pixels.size(0) == 4 ? torch::cat({picture, frame.pixels.slice(0, 3)}) : picture;
    return result;
}

void throw_if_stopped(const RunOptions& options) {
    if (options.stop != nullptr && options.stop->load()) {
        throw Interrupted(c10::str("'", options.out.string(), "' was not written"));
    }
}

/// Keeps RunProgress up to date and tells the caller.
class ProgressTeller {
  public:
    ProgressTeller(const Editor& editor, const RunOptions& options)
        : options_(options), start_(std::chrono::steady_clock::now()) {
        progress_.frames_total = editor.job().frames;
        progress_.steps = *editor.job().plan.steps;
    }

    void step() {
        throw_if_stopped(options_);
        ++progress_.step;
        tell();
    }

    void frames(size_t count) {
        progress_.frames_done += static_cast<int64_t>(count);
        progress_.step = 0;
        tell();
    }

    const RunProgress& now() {
        const auto elapsed = std::chrono::steady_clock::now() - start_;
        progress_.elapsed_s = std::chrono::duration<double>(elapsed).count();
        return progress_;
    }

  private:
    void tell() {
        now();
        if (options_.on_progress) {
            options_.on_progress(progress_);
        }
    }

    const RunOptions& options_;
    std::chrono::steady_clock::time_point start_;
    RunProgress progress_;
};

void append(std::vector<std::string>& to, std::vector<std::string> from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

double RunProgress::frames_per_second() const {
    return elapsed_s > 0 ? static_cast<double>(frames_done) / elapsed_s : 0;
}

double RunProgress::left_s() const {
    const double part =
        steps > 0 ? std::min(1.0, static_cast<double>(step) / static_cast<double>(steps)) : 0;
    const double done = static_cast<double>(frames_done) + part;
    if (frames_total <= 0 || done <= 0) {
        return -1;
    }
    return std::max(0.0, elapsed_s * (static_cast<double>(frames_total) / done - 1));
}

RunReport run(const Editor& editor, std::unique_ptr<FrameSource> source, const RunOptions& options,
              StageClock& clock) {
    const std::optional<Rational> rate = parse_rate(editor.job().plan.fps);
    if (rate)
        source = at_rate(std::move(source), *rate);
    const StreamInfo info = source->info();
    auto frames = prefetch(std::make_unique<TimedSource>(std::move(source), clock), queue_depth);
    ProgressTeller progress(editor, options);
    const RenderWatch watch{.clock = &clock, .on_step = [&] { progress.step(); }};
    const PictureMap* map = editor.job().map.get();

    std::unique_ptr<FrameSink> sink;
    RunReport report;
    for (auto batch = next_batch(*frames, editor.job().batch); !batch.empty();
         batch = next_batch(*frames, editor.job().batch)) {
        throw_if_stopped(options);
        if (!sink) {
            auto writer =
                create_video(options.out, map != nullptr ? map->written(info) : info,
                             write_options(editor.job(), info, batch.front(), options.overwrite));
            if (rate)
                writer = repeating(std::move(writer), *rate);
            sink = write_behind(std::make_unique<TimedSink>(std::move(writer), clock), queue_depth);
        }
        const auto pictures = batch_of(batch, info.start, map);
        const auto edited = editor.render(pictures, watch);
        for (size_t i = 0; i < batch.size(); ++i) {
            const auto place = static_cast<int64_t>(i);
            const auto colours = batch[i].pixels.slice(0, 0, 3);
            sink->put(recoloured(
                batch[i], map != nullptr
                              ? map->returned(colours, pictures.pictures[place], edited[place])
                              : edited[place]));
        }
        report.frames += static_cast<int64_t>(batch.size());
        progress.frames(batch.size());
    }
    if (!sink) {
        throw Error(info.path.string(), "has no frame in the chosen part", "check --from and --to");
    }
    throw_if_stopped(options);
    sink->finish();
    report.elapsed_s = progress.now().elapsed_s;
    append(report.warnings, editor.model().notes());
    append(report.warnings, frames->warnings());
    append(report.warnings, sink->warnings());
    return report;
}

}  // namespace weft
