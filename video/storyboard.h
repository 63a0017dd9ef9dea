#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace weft {

// Note [Storyboard]
// A clip is a row of shots. In a shot that is edited by key frames, the first frame is the anchor,
// which all its key frames see, and the first and the last frame are key frames, so that every
// frame lies on or between two. A segment is the unit of work: it is rendered, encoded, kept,
// resumed and handed to other machines as a whole. It holds consecutive key intervals of one shot;
// frames between two key frames depend on those two, the anchor and themselves, so segments can be
// made in any order, anywhere. Nothing in a segment refers to a frame of another shot.
//
// All numbers here are places (see ClipFrame), [first, end).

/// What belongs together on the screen.
struct Shot {
    int64_t first = 0;  // its anchor
    int64_t end = 0;
    std::vector<int64_t> keys;  // rising; empty where frames are edited on their own
    friend bool operator==(const Shot&, const Shot&) = default;
};

/// The unit of work.
struct Segment {
    int64_t number = 0;  // its place among the clip's segments
    int64_t first = 0;
    int64_t end = 0;
    int64_t anchor = 0;
    /// The key frames its frames lie on or between: the first at or before `first`, the last at or
    /// after `end` - 1.
    std::vector<int64_t> keys;

    int64_t frames() const { return end - first; }

    friend bool operator==(const Segment&, const Segment&) = default;
};

/// How a clip is worked through.
struct Storyboard {
    int64_t frames = 0;
    std::vector<Shot> shots;
    std::vector<Segment> segments;
    friend bool operator==(const Storyboard&, const Storyboard&) = default;
};

struct StoryboardOptions {
    /// Where the key frames of the shot [first, end) are: rising, with its first and last frame.
    /// Null: frames are edited on their own.
    std::function<std::vector<int64_t>(int64_t first, int64_t end)> keys;
    /// Places that must be key frames.
    std::vector<int64_t> forced;
    /// Most frames of a segment, but for a single key interval that is longer; >= 1.
    int64_t segment_frames = 96;
};

/// Lays out a clip of `frames` frames >= 1. The result depends on the arguments alone.
/// @param shots places where shots begin, rising; the first is 0
Storyboard make_storyboard(int64_t frames, std::span<const int64_t> shots,
                           const StoryboardOptions& options);

/// The storyboard for a person: a line a shot and a line a segment, each after "# ".
std::string describe(const Storyboard& board);

}  // namespace weft
