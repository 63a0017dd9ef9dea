#pragma once

#include <filesystem>
#include <memory>
#include <span>

#include "io/media/frame.h"
#include "io/media/reader.h"

namespace weft {

/// Where a clip may be edited, as a user gives it.
///
/// A picture serves all frames. The pictures of an image sequence go with the clip's frames by
/// number, the first with frame 0; a clip's by time, counted from the start of either. White is
/// edited, black is kept, grey in part; what is transparent counts as black. Values within 2 % of
/// black or white are black or white, so that a lossy codec's noise edits nothing. A mask of
/// another size but the clip's shape is resized.
struct MaskSource {
    std::filesystem::path path = {};  // empty: no mask
    ReadOptions reading = {};         // limits and the stop flag; the part is the clip's
    double feather_px = 0;            // the edge goes from 0 to 1 over twice as many pixels
};

/// The frames of a clip with their masks (Frame::mask); `frames` itself where there is no mask.
/// Throws Error for a mask that is a pipe; next() throws one for a mask of another shape, or that
/// ends before the clip.
std::unique_ptr<FrameSource> masked(std::unique_ptr<FrameSource> frames, const MaskSource& mask);

/// Throws Error where the mask does not serve a frame, as masked() would on the way.
/// @param info of the clip @param frame its number, time and duration count
void check_mask(const MaskSource& mask, const StreamInfo& info, const Frame& frame);

}  // namespace weft
