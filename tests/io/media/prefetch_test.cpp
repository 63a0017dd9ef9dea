#include "io/media/prefetch.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "io/files/error.h"

namespace weft {
namespace {

/// Counts 0, 1, 2 ... and fails or ends where told.
class Counter final : public FrameSource {
  public:
    Counter(int64_t end, int64_t fail_at, std::atomic<int64_t>& made)
        : end_(end), fail_at_(fail_at), made_(made) {}

    std::optional<Frame> next() override {
        if (made_ == fail_at_)
            throw Error("clip", "breaks");
        if (made_ == end_)
            return std::nullopt;
        Frame frame;
        frame.index = made_++;
        return frame;
    }

    const StreamInfo& info() const override { return info_; }

    std::vector<std::string> warnings() const override { return {"noted"}; }

  private:
    int64_t end_;
    int64_t fail_at_;
    std::atomic<int64_t>& made_;
    StreamInfo info_;
};

/// Keeps what it is given and fails where told.
class Keeper final : public FrameSink {
  public:
    Keeper(std::vector<int64_t>& kept, int64_t fail_at, bool& finished)
        : kept_(kept), fail_at_(fail_at), finished_(finished) {}

    void put(const Frame& frame) override {
        if (frame.index == fail_at_)
            throw Error("disk", "is full");
        kept_.push_back(frame.index);
    }

    void finish() override { finished_ = true; }

  private:
    std::vector<int64_t>& kept_;
    int64_t fail_at_;
    bool& finished_;
};

Frame numbered(int64_t index) {
    Frame frame;
    frame.index = index;
    return frame;
}

}  // namespace

TEST_CASE("prefetch keeps the order and ends where the source ends") {
    std::atomic<int64_t> made = 0;
    const auto depth = GENERATE(0, 1, 3);
    const auto source = prefetch(std::make_unique<Counter>(100, -1, made), depth);
    for (int64_t i = 0; i < 100; ++i) CHECK(source->next().value().index == i);
    CHECK_FALSE(source->next().has_value());
    CHECK_FALSE(source->next().has_value());
    CHECK(source->warnings() == std::vector<std::string>{"noted"});
}

TEST_CASE("prefetch runs ahead by its depth only") {
    std::atomic<int64_t> made = 0;
    const auto depth = GENERATE(0, 3);
    const auto source = prefetch(std::make_unique<Counter>(100, -1, made), depth);
    const auto expect = [&](int64_t count) {
        for (int i = 0; i < 200 && made < count; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        CHECK(made == count);
    };
    expect(depth + 1);  // those that are kept, and one in the thread's hand
    CHECK(source->next().value().index == 0);
    expect(depth + 2);
}

TEST_CASE("an error of the source comes after the frames before it") {
    std::atomic<int64_t> made = 0;
    const auto source = prefetch(std::make_unique<Counter>(100, 5, made), GENERATE(0, 2));
    for (int64_t i = 0; i < 5; ++i) CHECK(source->next().value().index == i);
    CHECK_THROWS_WITH(source->next(), Catch::Contains("breaks"));
    CHECK_THROWS_WITH(source->next(), Catch::Contains("breaks"));
}

TEST_CASE("a prefetching source can be dropped at any moment") {
    for (int i = 0; i < 50; ++i) {
        std::atomic<int64_t> made = 0;
        const auto source = prefetch(std::make_unique<Counter>(1'000'000, -1, made), i % 3);
        if (i % 2 == 0)
            source->next();
    }
    SUCCEED();
}

TEST_CASE("write_behind passes every frame on before it finishes") {
    std::vector<int64_t> kept;
    bool finished = false;
    const auto sink = write_behind(std::make_unique<Keeper>(kept, -1, finished), GENERATE(0, 3));
    for (int64_t i = 0; i < 100; ++i) sink->put(numbered(i));
    sink->finish();
    CHECK(finished);
    REQUIRE(kept.size() == 100);
    CHECK(kept.back() == 99);
}

TEST_CASE("an error of the sink reaches the caller and the output is not finished") {
    std::vector<int64_t> kept;
    bool finished = false;
    const auto sink = write_behind(std::make_unique<Keeper>(kept, 3, finished), GENERATE(0, 2));
    const auto all = [&] {
        for (int64_t i = 0; i < 100; ++i) sink->put(numbered(i));
        sink->finish();
    };
    CHECK_THROWS_WITH(all(), Catch::Contains("is full"));
    CHECK_THROWS_WITH(sink->finish(), Catch::Contains("is full"));
    CHECK_FALSE(finished);
    CHECK(kept.size() == 3);
}

TEST_CASE("a sink dropped early does not finish") {
    std::vector<int64_t> kept;
    bool finished = false;
    {
        const auto sink =
            write_behind(std::make_unique<Keeper>(kept, -1, finished), GENERATE(0, 2));
        sink->put(numbered(0));
    }
    CHECK_FALSE(finished);
}

}  // namespace weft
