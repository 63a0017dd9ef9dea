#include "io/media/prefetch.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace weft {
namespace {

/// A bounded queue between two threads; with a depth of 0 a frame goes from hand to hand.
/// Thread-safe: yes.
class FrameQueue {
  public:
    explicit FrameQueue(size_t depth) : depth_(depth) {}

    /// Waits for room; false where `stop` was asked for or the queue is closed meanwhile.
    bool put(Frame frame, const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, stop, [&] { return closed_ || frames_.size() < depth_ + takers_; });
        if (stop.stop_requested() || closed_)
            return false;
        frames_.push_back(std::move(frame));
        changed_.notify_all();
        return true;
    }

    /// Waits for a frame; nullopt where `stop` was asked for, or once the queue is closed and
    /// empty.
    std::optional<Frame> take(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        ++takers_;
        changed_.notify_all();
        changed_.wait(lock, stop, [&] { return closed_ || !frames_.empty(); });
        --takers_;
        if (stop.stop_requested() || frames_.empty())
            return std::nullopt;
        Frame frame = std::move(frames_.front());
        frames_.pop_front();
        changed_.notify_all();
        return frame;
    }

    void close() {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        changed_.notify_all();
    }

  private:
    size_t depth_;
    size_t takers_ = 0;  // that wait for a frame
    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::deque<Frame> frames_;
    bool closed_ = false;
};

class Prefetch final : public FrameSource {
  public:
    Prefetch(std::unique_ptr<FrameSource> source, size_t depth)
        : source_(std::move(source)), info_(source_->info()), queue_(depth) {
        thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    }

    std::optional<Frame> next() override {
        std::optional<Frame> frame = queue_.take({});
        if (frame)
            return frame;
        if (thread_.joinable())
            thread_.join();
        if (failure_)
            std::rethrow_exception(failure_);
        return std::nullopt;
    }

    const StreamInfo& info() const override { return info_; }

    /// Complete once next() has returned nullopt; before that the thread is still adding to them.
    std::vector<std::string> warnings() const override {
        return thread_.joinable() ? std::vector<std::string>() : source_->warnings();
    }

  private:
    void run(const std::stop_token& stop) {
        try {
            while (std::optional<Frame> frame = source_->next()) {
                if (!queue_.put(std::move(*frame), stop))
                    break;
            }
        } catch (...) {
            failure_ = std::current_exception();
        }
        queue_.close();
    }

    std::unique_ptr<FrameSource> source_;
    StreamInfo info_;
    FrameQueue queue_;
    std::exception_ptr failure_;  // written by the thread, read after joining it
    std::jthread thread_;         // last, so that it ends before what it uses
};

class WriteBehind final : public FrameSink {
  public:
    WriteBehind(std::unique_ptr<FrameSink> sink, size_t depth)
        : sink_(std::move(sink)), queue_(depth) {
        thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    }

    void put(const Frame& frame) override {
        if (thread_.joinable() && queue_.put(frame, {}))
            return;
        end_thread();
        TORCH_CHECK(false, "put() after finish()");
    }

    void finish() override {
        queue_.close();
        end_thread();
        sink_->finish();
    }

    /// Complete after finish(); before that the thread is still adding to them.
    std::vector<std::string> warnings() const override {
        return thread_.joinable() ? std::vector<std::string>() : sink_->warnings();
    }

  private:
    void run(const std::stop_token& stop) {
        try {
            while (std::optional<Frame> frame = queue_.take(stop)) sink_->put(*frame);
        } catch (...) {
            failure_ = std::current_exception();
        }
        queue_.close();
    }

    void end_thread() {
        if (thread_.joinable())
            thread_.join();
        if (failure_)
            std::rethrow_exception(failure_);
    }

    std::unique_ptr<FrameSink> sink_;
    FrameQueue queue_;
    std::exception_ptr failure_;  // written by the thread, read after joining it
    std::jthread thread_;         // last, so that it ends before what it uses
};

}  // namespace

std::unique_ptr<FrameSource> prefetch(std::unique_ptr<FrameSource> source, size_t depth) {
    return std::make_unique<Prefetch>(std::move(source), depth);
}

std::unique_ptr<FrameSink> write_behind(std::unique_ptr<FrameSink> sink, size_t depth) {
    return std::make_unique<WriteBehind>(std::move(sink), depth);
}

}  // namespace weft
