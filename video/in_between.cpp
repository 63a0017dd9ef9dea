#include "video/in_between.h"

#include <array>

#include "temporal/propagate.h"

namespace weft {
namespace {

void pause(const RenderWatch& watch) {
    if (watch.on_pause) {
        watch.on_pause();
    }
}

/// Flows from each frame between to the key frames, at their size.
struct Ways {
    std::vector<FlowField> before;
    std::vector<FlowField> after;
};

Ways ways_of(const KeyInterval& interval) {
    const auto& pictures = interval.frames.pictures;
    const auto fitted = [&](const FlowField& flow) {
        return resized(flow, pictures.size(2), pictures.size(3));
    };
    const size_t count = interval.motion.size() - 1;
    Ways ways;
    for (size_t i = 0; i < count; ++i) {
        const auto step = fitted(interval.motion[i].backward);
        ways.before.push_back(i == 0 ? step : compose(step, ways.before.back()));
    }
    ways.after.resize(count);
    for (size_t i = count; i-- > 0;) {
        const auto step = fitted(interval.motion[i + 1].forward);
        ways.after[i] = i + 1 == count ? step : compose(step, ways.after[i + 1]);
    }
    return ways;
}

/// Both key frames' edits pulled along the flow; the network does not run.
torch::Tensor propagate(const Editor& /*editor*/, const KeyInterval& interval,
                        const RenderWatch& watch) {
    const torch::InferenceMode no_gradients;
    const StageClock::Lap lap(watch.clock, Stage::propagate);
    const Ways ways = ways_of(interval);
    const int64_t count = interval.frames.size();
    std::vector<torch::Tensor> made;
    for (int64_t i = 0; i < count; ++i) {
        pause(watch);
        const auto frame = interval.frames.pictures.slice(0, i, i + 1);
        const auto place = static_cast<size_t>(i);
        const std::array donors{Donor{interval.before.edit, interval.before.frame.pictures,
                                      ways.before[place], static_cast<double>(i + 1)},
                                Donor{interval.after.edit, interval.after.frame.pictures,
                                      ways.after[place], static_cast<double>(count - i)}};
        made.push_back(propagated(frame, donors).picture);
    }
    return torch::cat(made);
}

constexpr std::array modes{
    InBetween{"frames", "each frame on its own", false, false, nullptr},
    InBetween{"propagate", "key frames' edits carried along the motion", true, true, propagate},
};

}  // namespace

std::span<const InBetween> in_between_modes() {
    return modes;
}

const InBetween* find_in_between(const std::string& name) {
    for (const InBetween& mode : modes) {
        if (name == mode.name) {
            return &mode;
        }
    }
    return nullptr;
}

torch::Tensor edit_key(const Editor& editor, const FrameBatch& /*anchor*/, const FrameBatch& key,
                       const RenderWatch& watch) {
    return editor.edit(key, watch);
}

}  // namespace weft
