#pragma once

#include "video/measure.h"

namespace weft {

/// Fills ClipFigures::summary of every clip from its frames, the cuts and the first clip, which is
/// the identity edit.
void summarise(Measurement& measurement);

/// True where no shot begins after `from` up to and including `to` (places of frames).
bool within_shot(const Measurement& measurement, int64_t from, int64_t to);

}  // namespace weft
