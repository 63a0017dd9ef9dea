#pragma once

#include <memory>

#include "io/media/frame.h"

namespace weft {

/// The frames of `source` at a constant rate: frame times become the nearest multiple of 1/rate
/// after the first frame's, frames that no multiple shows are left out, others last several
/// multiples. A clip that has this rate already comes out as it is, to within the rounding of its
/// container's clock.
/// @param rate frames a second, > 0
std::unique_ptr<FrameSource> at_rate(std::unique_ptr<FrameSource> source, const Rational& rate);

/// What is put, with each frame repeated for every 1/rate it lasts: the other half of at_rate,
/// after the edit so that no frame is edited twice. Frames are numbered anew, from the first one's
/// number.
std::unique_ptr<FrameSink> repeating(std::unique_ptr<FrameSink> sink, const Rational& rate);

}  // namespace weft
