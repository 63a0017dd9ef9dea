#pragma once

#include <torch/types.h>

#include <vector>

#include "diffusion/train/scenes.h"

namespace weft {

/// Paints sky and ground, a room, or whatever else the places of `scenes` show over the whole of
/// `canvas`; things and decor come later. Thread-safe: yes.
void paint_backdrop(Canvas& canvas, const std::vector<Scene>& scenes);

}  // namespace weft
