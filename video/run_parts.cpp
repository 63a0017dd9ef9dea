#include "video/run_parts.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "io/files/error.h"
#include "io/media/prefetch.h"
#include "io/media/retime.h"

namespace weft {
namespace {

class TimedSink final : public FrameSink {
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
std::optional<Time> source_time(const Position& place, const StreamInfo& info) {
    if (!place.frame) {
        return info.start + place.time;
    }
    if (info.frame_rate.is_zero()) {
        return std::nullopt;
    }
    return info.start + Time(Rational(*place.frame) / info.frame_rate);
}

}  // namespace

double RunProgress::frames_per_second() const {
    return elapsed_s > 0 ? static_cast<double>(frames_done - frames_kept) / elapsed_s : 0;
}

double RunProgress::left_s() const {
    const double part =
        steps > 0 ? std::min(1.0, static_cast<double>(step) / static_cast<double>(steps)) : 0;
    const double done = static_cast<double>(frames_done - frames_kept) + part;
    if (frames_total <= 0 || done <= 0) {
        return -1;
    }
    const auto left = static_cast<double>(frames_total - frames_done) - part;
    return std::max(0.0, elapsed_s * left / done);
}

void throw_if_stopped(const RunOptions& options, const std::string& outcome) {
    if (options.stop != nullptr && options.stop->load()) {
        throw Interrupted(outcome);
    }
}

ProgressTeller::ProgressTeller(const Job& job, const RunOptions& options, std::string outcome)
    : options_(options), outcome_(std::move(outcome)), start_(std::chrono::steady_clock::now()) {
    progress_.frames_total = job.frames;
    progress_.steps = job.plan.steps.value_or(0);
}

void ProgressTeller::step() {
    ++progress_.step;
    pause("denoise");
}

void ProgressTeller::pause(const char* stage) {
    throw_if_stopped(options_, outcome_);
    progress_.stage = stage;
    tell();
}

void ProgressTeller::frames(int64_t count) {
    progress_.frames_done += count;
    progress_.step = 0;
    tell();
}

void ProgressTeller::kept(int64_t count) {
    progress_.frames_kept += count;
    frames(count);
}

double ProgressTeller::elapsed_s() const {
    const auto elapsed = std::chrono::steady_clock::now() - start_;
    return std::chrono::duration<double>(elapsed).count();
}

void ProgressTeller::tell() {
    progress_.elapsed_s = elapsed_s();
    if (options_.on_progress) {
        options_.on_progress(progress_);
    }
}

RenderWatch ProgressTeller::watch(StageClock& clock) {
    return {.clock = &clock,
            .on_step = [this] { step(); },
            .on_pause = [this](const char* stage) { pause(stage); }};
}

WriteOptions write_options(const Job& job, const StreamInfo& info, const Time& first,
                           const std::optional<Time>& end, bool overwrite) {
    WriteOptions options{.codec = job.plan.codec,
                         .container = job.plan.container.empty() ? "auto" : job.plan.container,
                         .encoder_options = job.plan.encoder_opts,
                         .crf = job.plan.crf,
                         .preset = job.plan.preset,
                         .side_source = info.path,
                         .overwrite = overwrite};
    if (job.from) {
        options.from = first;
    }
    if (job.to) {
        options.to = job.to->frame && end ? end : source_time(*job.to, info);
    }
    return options;
}

std::unique_ptr<FrameSink> behind(std::unique_ptr<FrameSink> sink, const Job& job,
                                  StageClock& clock) {
    if (const auto rate = parse_rate(job.plan.fps)) {
        sink = repeating(std::move(sink), *rate);
    }
    return write_behind(std::make_unique<TimedSink>(std::move(sink), clock));
}

void append(std::vector<std::string>& to, std::vector<std::string> from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace weft
