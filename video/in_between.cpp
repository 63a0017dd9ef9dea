#include "video/in_between.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <numeric>

#include "diffusion/frame_links.h"
#include "temporal/at_once.h"
#include "temporal/long_flow.h"
#include "temporal/patch_fill.h"
#include "temporal/propagate.h"

namespace weft {
namespace {

void pause(const RenderWatch& watch) {
    if (watch.on_pause) {
        watch.on_pause("propagate");
    }
}

/// What both key frames' edits show of each frame, pulled along the motion; what neither shows is
/// made from their patches where there is a filler.
std::vector<Propagation> carried(const Editor& editor, const KeyInterval& interval,
                                 const PatchFiller* filler, const RenderWatch& watch) {
    const StageClock::Lap lap(watch.clock, Stage::propagate);
    const auto from_first = joined_from_first(interval.motion);
    const auto to_last = joined_to_last(interval.motion);
    const LongFlow long_flow;
    const int64_t count = interval.frames.size();
    const KeyFrame& before = interval.before;
    const KeyFrame& after = interval.after;
    std::vector<Propagation> made(static_cast<size_t>(count));
    std::mutex telling;
    at_once(count, [&](int64_t i) {
        {
            const std::lock_guard lock(telling);
            pause(watch);
        }
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
        auto& result = made[static_cast<size_t>(i)];
        result = propagated(frame, donors);
        if (filler != nullptr) {
            result.picture = (*filler)({frame, result.picture, result.holes},
                                       {.seed = editor.job().noise.seed,
                                        .purpose = NoisePurpose::patches,
                                        .frame = interval.frames.index[static_cast<size_t>(i)]});
        }
    });
    return made;
}

/// Both key frames' edits pulled along the flow; the network does not run.
torch::Tensor propagate(const Editor& editor, const KeyInterval& interval,
                        const RenderWatch& watch) {
    const torch::InferenceMode no_gradients;
    const KeyFrame& before = interval.before;
    const KeyFrame& after = interval.after;
    const PatchFiller filler(std::array{Exemplar{before.frame.pictures, before.edit},
                                        Exemplar{after.frame.pictures, after.edit}});
    std::vector<torch::Tensor> made;
    for (auto& frame : carried(editor, interval, &filler, watch)) {
        made.push_back(std::move(frame.picture));
    }
    return torch::cat(made);
}

/// What the frames between see: the shot's first frame and the key frames around them.
FrameBatch references_of(const KeyInterval& interval) {
    const bool own = interval.before.frame.index == interval.anchor.index;
    return own ? FrameBatch::joined({interval.before.frame, interval.after.frame})
               : FrameBatch::joined({interval.anchor, interval.before.frame, interval.after.frame});
}

/// Frames are pulled to the nearer key frame, along the joined motion between; the references to
/// nothing. The key frames are the last two references.
RowPull pull_to_keys(const KeyInterval& interval, int64_t references,
                     std::span<const int64_t> places) {
    const Size size{interval.frames.pictures.size(3), interval.frames.pictures.size(2)};
    const auto from_first = joined_from_first(interval.motion);
    const auto to_last = joined_to_last(interval.motion);
    auto none = identity_flow(references, size.height, size.width);
    std::vector<torch::Tensor> offsets{none.offset};
    std::vector<torch::Tensor> valid{torch::zeros_like(none.valid)};
    std::vector<int64_t> rows(static_cast<size_t>(references));
    std::iota(rows.begin(), rows.end(), 0);
    for (const int64_t i : places) {
        const bool early = 2 * (i + 1) <= interval.frames.size() + 1;
        const auto way = resized(early ? from_first[static_cast<size_t>(i)].backward
                                       : to_last[static_cast<size_t>(i + 1)].forward,
                                 size.height, size.width);
        offsets.push_back(way.offset);
        valid.push_back(way.valid);
        rows.push_back(references - (early ? 2 : 1));
    }
    return {torch::tensor(rows), {torch::cat(offsets), torch::cat(valid)}};
}

/// Frames are held to what the key frames' edits show of them; the references to nothing.
RowTarget target_of(std::span<const Propagation> carried, const FrameBatch& references,
                    std::span<const int64_t> places) {
    std::vector<torch::Tensor> pictures{references.pictures};
    std::vector<torch::Tensor> known{
        torch::zeros_like(references.pictures.narrow(1, 0, 1), torch::kBool)};
    for (const int64_t i : places) {
        const Propagation& frame = carried[static_cast<size_t>(i)];
        pictures.push_back(frame.picture);
        known.push_back(~frame.holes);
    }
    return {torch::cat(pictures), torch::cat(known)};
}

/// Every frame denoised, linked to the key frames. Frames of one strength run together.
torch::Tensor linked(const Editor& editor, const KeyInterval& interval, FrameLinks::Way way,
                     const RenderWatch& watch) {
    const torch::InferenceMode no_gradients;
    const Plan& plan = editor.job().plan;
    const FrameBatch references = references_of(interval);
    std::vector<Propagation> shown;
    if (*plan.pixel_fusion > 0) {
        shown = carried(editor, interval, nullptr, watch);
    }
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
        RowGuides guides;
        if (*plan.shape_fusion > 0) {
            guides.pull = pull_to_keys(interval, references.size(), places);
        }
        if (*plan.pixel_fusion > 0) {
            guides.target = target_of(shown, references, places);
        }
        result.index_copy_(0, torch::tensor(places),
                           editor.edit_linked(FrameBatch::joined({references, frames}), links,
                                              references.size(), watch, guides));
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

bool uses_motion(const InBetween& mode, const Plan& plan) {
    return mode.motion || (mode.keys && (*plan.shape_fusion > 0 || *plan.pixel_fusion > 0));
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
