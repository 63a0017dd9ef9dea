#include "video/storyboard.h"

#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "temporal/key_frames.h"

using namespace weft;

namespace {

std::vector<int64_t> keys_every(int64_t every, int64_t first, int64_t end) {
    return key_frames(first, end, {}, {.every = every});
}

/// Shots of a clip at random.
std::vector<int64_t> random_shots(std::mt19937& random, int64_t frames) {
    std::set<int64_t> shots{0};
    const auto count = static_cast<int64_t>(random() % 8);
    for (int64_t i = 0; i < count; ++i) {
        shots.insert(static_cast<int64_t>(random() % static_cast<uint64_t>(frames)));
    }
    return {shots.begin(), shots.end()};
}

const Shot& shot_of(const Storyboard& board, int64_t place) {
    for (const Shot& shot : board.shots) {
        if (place >= shot.first && place < shot.end) {
            return shot;
        }
    }
    FAIL("frame " << place << " is in no shot");
    return board.shots.front();
}

void check_laws(const Storyboard& board, const StoryboardOptions& options) {
    int64_t next = 0;
    for (const Segment& segment : board.segments) {
        CHECK(segment.number == &segment - board.segments.data());
        CHECK(segment.first == next);  // every frame in exactly one segment, in order
        CHECK(segment.end > segment.first);
        next = segment.end;
        const Shot& shot = shot_of(board, segment.first);
        CHECK(segment.end <= shot.end);
        CHECK(segment.anchor == shot.first);
        if (!options.keys) {
            CHECK(segment.keys.empty());
            CHECK(segment.frames() <= options.segment_frames);
            continue;
        }
        // Nothing that a segment refers to lies in another shot.
        REQUIRE_FALSE(segment.keys.empty());
        CHECK(segment.keys.front() == segment.first);
        CHECK(segment.keys.back() >= segment.end - 1);
        CHECK(segment.keys.back() < shot.end);
        CHECK(std::is_sorted(segment.keys.begin(), segment.keys.end()));
        CHECK(segment.keys.back() == (segment.end == shot.end ? shot.end - 1 : segment.end));
        if (segment.frames() > options.segment_frames) {
            CHECK(segment.keys.size() == 2);  // a single interval
        }
    }
    CHECK(next == board.frames);
}

}  // namespace

TEST_CASE("every frame is in one segment, and no reference crosses a cut") {
    std::mt19937 random(7);
    for (int i = 0; i < 200; ++i) {
        const auto frames = static_cast<int64_t>(1 + random() % 300);
        const auto every = static_cast<int64_t>(1 + random() % 20);
        StoryboardOptions options;
        options.segment_frames = static_cast<int64_t>(1 + random() % 40);
        options.forced = {static_cast<int64_t>(random() % 300), -1, 5};
        if (i % 4 != 0) {
            options.keys = [every](int64_t first, int64_t end) {
                return keys_every(every, first, end);
            };
        }
        const auto shots = random_shots(random, frames);
        const auto board = make_storyboard(frames, shots, options);
        INFO("frames " << frames << ", every " << every);
        check_laws(board, options);
        CHECK(board == make_storyboard(frames, shots, options));
        for (const Shot& shot : board.shots) {
            for (const int64_t forced : options.forced) {
                if (options.keys && forced >= shot.first && forced < shot.end) {
                    CHECK(std::count(shot.keys.begin(), shot.keys.end(), forced) == 1);
                }
            }
        }
    }
}

TEST_CASE("segments hold as many key intervals as fit") {
    StoryboardOptions options{
        .keys = [](int64_t first, int64_t end) { return keys_every(8, first, end); },
        .forced = {},
        .segment_frames = 20};
    const auto board = make_storyboard(50, std::vector<int64_t>{0, 40}, options);
    REQUIRE(board.segments.size() == 4);
    CHECK(board.segments[0].keys == std::vector<int64_t>{0, 8, 16});
    CHECK(board.segments[1].first == 16);
    CHECK(board.segments[2].first == 32);
    CHECK(board.segments[2].keys == std::vector<int64_t>{32, 39});
    CHECK(board.segments[3].keys == std::vector<int64_t>{40, 48, 49});
    CHECK(board.segments[3].anchor == 40);
}
