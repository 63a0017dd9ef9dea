#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "temporal/noise_warp.h"
#include "video/editor.h"

namespace weft {

/// A key frame with its edit, at content size.
struct KeyFrame {
    int64_t place = 0;   // see ClipFrame
    FrameBatch frame;    // n = 1
    torch::Tensor edit;  // [1, 3, content]
};

/// What the frames between two key frames are made from, all of content size.
struct KeyInterval {
    FrameBatch anchor;  // the shot's first frame, n = 1
    KeyFrame before;
    KeyFrame after;
    FrameBatch frames;  // those between, one place after the other; at least one
    /// Motion between neighbours from `before` over the frames to `after`, frames + 1 of them, on
    /// any grid over the whole picture; empty where nothing asks for motion.
    std::vector<FlowPair> motion;
};

/// One way of making the frames between key frames: an entry of in_between_modes(). Pure: the
/// result depends on the editor's job and the interval alone. Thread-safe: yes.
struct InBetween {
    const char* name;
    const char* help;  // a few words
    bool keys;         // there are key frames; without them frames are edited on their own
    bool motion;       // KeyInterval::motion is used, whatever the plan says
    /// [frames, 3, content]; null where there are no key frames.
    torch::Tensor (*make)(const Editor& editor, const KeyInterval& interval,
                          const RenderWatch& watch);
};

/// All modes, in the order help texts list them. To add one: its function and its line in
/// in_between.cpp.
std::span<const InBetween> in_between_modes();

/// Whether a mode reads KeyInterval::motion for this plan.
bool uses_motion(const InBetween& mode, const Plan& plan);

/// The mode of that name, or null.
const InBetween* find_in_between(const std::string& name);

}  // namespace weft
