#include "io/media/retime.h"

#include <c10/util/Exception.h>

#include <numeric>
#include <utility>

namespace weft {
namespace {

/// A time base in which both the start and every multiple of 1/rate are whole numbers, where one of
/// at most a million parts a second is.
Rational common_time_base(const Time& start, const Rational& rate) {
    constexpr int64_t finest = 1'000'000;
    const int64_t parts = std::lcm(start.den(), rate.num());
    return {1, parts > 0 && parts <= finest ? parts : rate.num()};
}

class RateSource final : public FrameSource {
  public:
    RateSource(std::unique_ptr<FrameSource> source, const Rational& rate)
        : source_(std::move(source)), rate_(rate), info_(source_->info()) {
        TORCH_CHECK(rate > Rational(), "a rate must be positive");
        info_.frames = std::llround(info_.duration.seconds() * rate.value());
        info_.frame_rate = rate;
        info_.time_base = common_time_base(info_.start, rate);
    }

    std::optional<Frame> next() override {
        while (std::optional<Frame> frame = source_->next()) {
            if (!start_)
                start_ = frame->time;
            const int64_t first = tick(frame->time);
            const int64_t end = tick(frame->time + frame->duration);
            if (end <= first)
                continue;
            frame->time = *start_ + at(first);
            frame->duration = at(end - first);
            return frame;
        }
        return std::nullopt;
    }

    const StreamInfo& info() const override { return info_; }

    std::vector<std::string> warnings() const override { return source_->warnings(); }

  private:
    int64_t tick(const Time& time) const { return (time - *start_).ticks(rate_.inverse()); }

    Time at(int64_t ticks) const { return Time::of(ticks, rate_.inverse()); }

    std::unique_ptr<FrameSource> source_;
    Rational rate_;
    StreamInfo info_;
    std::optional<Time> start_;  // of the first frame
};

class RepeatingSink final : public FrameSink {
  public:
    RepeatingSink(std::unique_ptr<FrameSink> sink, const Rational& rate)
        : sink_(std::move(sink)), tick_(rate.inverse()) {}

    void put(const Frame& frame) override {
        const int64_t count = std::max<int64_t>(1, frame.duration.ticks(tick_));
        if (!next_index_)
            next_index_ = frame.index;
        Frame repeated = frame;
        for (int64_t i = 0; i < count; ++i) {
            repeated.index = (*next_index_)++;
            repeated.time = frame.time + Time::of(i, tick_);
            repeated.duration = Time(tick_);
            sink_->put(repeated);
        }
    }

    void finish() override { sink_->finish(); }

    std::vector<std::string> warnings() const override { return sink_->warnings(); }

  private:
    std::unique_ptr<FrameSink> sink_;
    Rational tick_;
    std::optional<int64_t> next_index_;
};

}  // namespace

std::unique_ptr<FrameSource> at_rate(std::unique_ptr<FrameSource> source, const Rational& rate) {
    return std::make_unique<RateSource>(std::move(source), rate);
}

std::unique_ptr<FrameSink> repeating(std::unique_ptr<FrameSink> sink, const Rational& rate) {
    return std::make_unique<RepeatingSink>(std::move(sink), rate);
}

}  // namespace weft
