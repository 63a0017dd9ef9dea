#pragma once

#include <string>

#include "diffusion/train/scenes.h"

namespace weft {

/// A scene, the words of a change, and the scene after it.
struct SceneEdit {
    Scene before;
    Scene after;
    std::string text;
};

/// One of: recolour a thing (2 of 7), remove it, add one, another sky, another ground, another
/// plain background (1 of 7 each). The two scenes share all that the words do not name. `aspect` is
/// width / height.
SceneEdit random_edit(uint64_t seed, double aspect);

}  // namespace weft
