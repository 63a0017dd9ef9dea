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

/// One of: recolour, remove or add a thing; another sky; another ground; snow; people or trees
/// gone. `aspect` is width / height.
SceneEdit random_edit(uint64_t seed, double aspect);

}  // namespace weft
