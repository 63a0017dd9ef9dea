#pragma once

#include "temporal/deflicker.h"
#include "video/clip_work.h"
#include "video/run.h"

namespace weft {

/// Takes the flicker out of a clip, shot by shot (deflicker.h), and writes OUT in one go; times,
/// sound and all else are the clip's. Needs no model. Memory depends on the frame's size.
/// @param work of the clip, for its shots; motion is not needed
/// @throws as run()
RunReport run_steady(const Job& job, const ClipWork& work, const DeflickerOptions& deflicker,
                     const RunOptions& options, StageClock& clock);

}  // namespace weft
