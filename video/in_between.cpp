#include "video/in_between.h"

#include <algorithm>
#include <array>
#include <map>

#include "diffusion/frame_links.h"
#include "temporal/long_flow.h"
#include "temporal/patch_fill.h"
#include "temporal/propagate.h"

namespace weft {
namespace {

void pause(const RenderWatch& watch) {
    if (watch.on_pause) {
        watch.on_pause();
    }
}

/// Both key frames' edits pulled along the flow, and what neither shows made from their patches;
/// the network does not run.
torch::Tensor propagate(const Editor& editor, const KeyInterval& interval,
                        const RenderWatch& watch) {
    const torch::InferenceMode no_gradients;
    const StageClock::Lap lap(watch.clock, Stage::propagate);
    const auto from_first = joined_from_first(interval.motion);
    const auto to_last = joined_to_last(interval.motion);
    const LongFlow long_flow;
    const int64_t count = interval.frames.size();
    const KeyFrame& before = interval.before;
    const KeyFrame& after = interval.after;
    const std::array exemplars{Exemplar{before.frame.pictures, before.edit},
                               Exemplar{after.frame.pictures, after.edit}};
    std::vector<torch::Tensor> made;
    for (int64_t i = 0; i < count; ++i) {
        pause(watch);
        const auto frame = interval.frames.pictures.slice(0, i, i + 1);
        const FlowPair& back = from_first[static_cast<size_t>(i)];
        const FlowPair& on = to_last[static_cast<size_t>(i + 1)];
        const std::array donors{
            Donor{before.edit, before.frame.pictures,
                  long_flow(frame, before.frame.pictures, back.backward, back.forward),
                  static_cast<double>(i + 1)},
            Donor{after.edit, after.frame.pictures,
                  long_flow(frame, after.frame.pictures, on.forward, on.backward),
                  static_cast<double>(count - i)}};
        auto [picture, holes] = propagated(frame, donors);
        if (holes.any().item<bool>()) {
            const NoiseKey places{.seed = editor.job().noise.seed,
                                  .purpose = NoisePurpose::patches,
                                  .frame = interval.frames.index[static_cast<size_t>(i)]};
            picture = patch_filled({frame, picture, holes}, exemplars, places);
        }
        made.push_back(picture);
    }
    return torch::cat(made);
}

/// What the frames between see: the shot's first frame and the key frames around them.
FrameBatch references_of(const KeyInterval& interval) {
    const bool own = interval.before.frame.index == interval.anchor.index;
    return own ? FrameBatch::joined({interval.before.frame, interval.after.frame})
               : FrameBatch::joined({interval.anchor, interval.before.frame, interval.after.frame});
}

/// Every frame denoised, linked to the key frames. Frames of one strength run together.
torch::Tensor linked(const Editor& editor, const KeyInterval& interval, FrameLinks::Way way,
                     const RenderWatch& watch) {
    const FrameBatch references = references_of(interval);
    std::map<double, std::vector<int64_t>> by_strength;
    for (int64_t i = 0; i < interval.frames.size(); ++i) {
        by_strength[editor.job().strength(interval.frames.time_s[static_cast<size_t>(i)])]
            .push_back(i);
    }
    auto result = torch::empty_like(interval.frames.pictures);
    for (const auto& [strength, places] : by_strength) {
        const FrameBatch frames = interval.frames.select(places);
        auto links = shot_links(way, references.index, frames.index);
        links.rows_per_call = editor.job().batch;
        result.index_copy_(0, torch::tensor(places),
                           editor.edit_linked(FrameBatch::joined({references, frames}), links,
                                              references.size(), watch));
    }
    return result;
}

torch::Tensor denoise_all(const Editor& editor, const KeyInterval& interval,
                          const RenderWatch& watch) {
    return linked(editor, interval, FrameLinks::Way::attention, watch);
}

torch::Tensor gather_tokens(const Editor& editor, const KeyInterval& interval,
                            const RenderWatch& watch) {
    return linked(editor, interval, FrameLinks::Way::tokens, watch);
}

constexpr std::array modes{
    InBetween{"frames", "each frame on its own", false, false, nullptr},
    InBetween{"full", "each frame denoised, seeing the key frames", true, false, denoise_all},
    InBetween{"tokens", "each frame denoised from the key frames' features", true, false,
              gather_tokens},
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

}  // namespace weft
