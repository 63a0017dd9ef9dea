#include "video/clip_work.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <utility>

#include "temporal/key_frames.h"
#include "video/in_between.h"

namespace weft {
namespace {

/// What of the reading decides which frames there are, and when.
std::string reading_text(const Job& job, const ClipSource& source) {
    return c10::str("from ", job.plan.from, " to ", job.plan.to, " at ", job.plan.fps,
                    source.reading.damage == Damage::skip ? " ..." : "");
}

Frame as_frame(const ClipFrame& frame) {
    Frame result;
    result.index = frame.index;
    result.time = frame.time;
    result.duration = frame.duration;
    return result;
}

std::vector<int64_t> places_of(const ClipAnalysis& analysis, const std::vector<int64_t>& frames) {
    std::vector<int64_t> places;
    places.reserve(frames.size());
    for (const int64_t frame : frames) {
        places.push_back(*analysis.place_of(frame));
    }
    return places;
}

/// The first place at or after a time from the clip's start.
int64_t place_at(const std::vector<ClipFrame>& list, const Time& start, double time_s) {
    const auto found = std::partition_point(list.begin(), list.end(), [&](const ClipFrame& frame) {
        return (frame.time - start).seconds() < time_s;
    });
    return found - list.begin();
}

/// Where the plan changes within the clip. A prompt holds until the next one, so the last frame of
/// the old one is a key frame too: nothing is blended over the change.
std::vector<int64_t> changes_of(const Plan& plan, const std::vector<ClipFrame>& list,
                                const Time& start) {
    std::vector<int64_t> places;
    for (const auto& key : plan.prompt.keys) {
        const int64_t place = place_at(list, start, key.at_s);
        places.push_back(place - 1);
        places.push_back(place);
    }
    for (const auto& key : plan.strength.keys) {
        places.push_back(place_at(list, start, key.at_s));
    }
    return places;
}

StoryboardOptions storyboard_options(const Job& job, const ClipAnalysis& analysis,
                                     const Time& start) {
    StoryboardOptions options{.keys = {},
                              .forced = changes_of(job.plan, analysis.list(), start),
                              .segment_frames = *job.plan.segment_frames};
    if (job.by_keys()) {
        const KeyFrameOptions spacing{.every = job.plan.key_every.value_or(0)};
        options.keys = [&analysis, spacing](int64_t first, int64_t end) {
            return key_frames(
                first, end,
                [&](int64_t place) {
                    return analysis.motion_into(analysis.list()[static_cast<size_t>(place)].index);
                },
                spacing);
        };
    }
    return options;
}

}  // namespace

bool needs_analysis(const Job& job) {
    return job.by_keys() || job.noise.kind->moves;
}

ClipWork lay_out(Job& job, const ClipSource& source, const std::atomic<bool>* stop,
                 const std::function<void(int64_t)>& on_frame) {
    auto frames = open_clip(source);
    const StreamInfo info = frames->info();
    const Time start = info.start;
    auto analysis = analyse(std::move(frames), {.motion = needs_analysis(job),
                                                .reading = reading_text(job, source),
                                                .stop = stop,
                                                .on_frame = on_frame});
    follow_motion(job, analysis);
    job.frames = analysis->frames();
    check_mask(source.mask, info, as_frame(analysis->list().back()));
    const auto shots = places_of(*analysis, analysis->shots());
    auto board = make_storyboard(job.frames, shots, storyboard_options(job, *analysis, start));
    return {source, std::move(analysis), std::move(board)};
}

}  // namespace weft
