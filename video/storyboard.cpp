#include "video/storyboard.h"

#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <set>

namespace weft {
namespace {

std::vector<int64_t> keys_of(int64_t first, int64_t end, const StoryboardOptions& options) {
    if (!options.keys) {
        return {};
    }
    const auto placed = options.keys(first, end);
    std::set<int64_t> keys(placed.begin(), placed.end());
    TORCH_CHECK(!keys.empty() && *keys.begin() == first && *keys.rbegin() == end - 1,
                "key frames of a shot begin at its first frame and end at its last");
    for (const int64_t place : options.forced) {
        if (place >= first && place < end) {
            keys.insert(place);
        }
    }
    return {keys.begin(), keys.end()};
}

/// Places where a segment may end, rising: after each key interval, or after each full part of a
/// shot without key frames.
std::vector<int64_t> joints_of(const Shot& shot, int64_t segment_frames) {
    std::vector<int64_t> joints;
    if (shot.keys.empty()) {
        for (int64_t place = shot.first + segment_frames; place < shot.end;
             place += segment_frames) {
            joints.push_back(place);
        }
    } else {
        // The last key frame is the shot's last frame and goes with the interval before it.
        for (size_t i = 1; i + 1 < shot.keys.size(); ++i) {
            joints.push_back(shot.keys[i]);
        }
    }
    joints.push_back(shot.end);
    return joints;
}

std::vector<int64_t> keys_around(const Shot& shot, int64_t first, int64_t end) {
    if (shot.keys.empty()) {
        return {};
    }
    const auto from = std::upper_bound(shot.keys.begin(), shot.keys.end(), first) - 1;
    const auto to =
        std::lower_bound(shot.keys.begin(), shot.keys.end(), std::min(end, shot.end - 1));
    return {from, to + 1};
}

void add_segments(Storyboard& board, const Shot& shot, int64_t segment_frames) {
    const auto joints = joints_of(shot, segment_frames);
    int64_t first = shot.first;
    for (size_t i = 0; i < joints.size(); ++i) {
        const bool last = i + 1 == joints.size();
        if (!last && joints[i + 1] - first <= segment_frames) {
            continue;  // the next interval fits in as well
        }
        board.segments.push_back({.number = static_cast<int64_t>(board.segments.size()),
                                  .first = first,
                                  .end = joints[i],
                                  .anchor = shot.first,
                                  .keys = keys_around(shot, first, joints[i])});
        first = joints[i];
    }
}

std::string list_of(const std::vector<int64_t>& values) {
    constexpr size_t most = 12;
    std::string text;
    for (size_t i = 0; i < std::min(most, values.size()); ++i) {
        text += c10::str(i == 0 ? "" : " ", values[i]);
    }
    return values.size() > most ? c10::str(text, " ... ", values.back()) : text;
}

}  // namespace

Storyboard make_storyboard(int64_t frames, std::span<const int64_t> shots,
                           const StoryboardOptions& options) {
    TORCH_CHECK(frames >= 1 && options.segment_frames >= 1, "a storyboard of ", frames, " frames");
    TORCH_CHECK(!shots.empty() && shots.front() == 0, "the first shot begins at the first frame");
    Storyboard board{.frames = frames, .shots = {}, .segments = {}};
    for (size_t i = 0; i < shots.size(); ++i) {
        const int64_t end = i + 1 < shots.size() ? shots[i + 1] : frames;
        TORCH_CHECK(shots[i] < end, "shots must rise and begin within the clip");
        Shot shot{.first = shots[i], .end = end, .keys = keys_of(shots[i], end, options)};
        add_segments(board, shot, options.segment_frames);
        board.shots.push_back(std::move(shot));
    }
    return board;
}

std::string describe(const Storyboard& board) {
    std::string text;
    for (const Shot& shot : board.shots) {
        text += c10::str("# shot ", shot.first, " to ", shot.end - 1);
        text += shot.keys.empty()
                    ? std::string()
                    : c10::str(", ", shot.keys.size(), " key frames: ", list_of(shot.keys));
        text += "\n";
    }
    for (const Segment& segment : board.segments) {
        text += c10::str("# segment ", segment.number, ": frames ", segment.first, " to ",
                         segment.end - 1, "\n");
    }
    return text;
}

}  // namespace weft
