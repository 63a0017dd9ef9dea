#pragma once

// The colour spaces weft knows without a configuration, for sources of io/media only.

#include <optional>
#include <string>

#include "io/media/color.h"

namespace weft {

/// An OpenColorIO configuration (version 2). Its reference is ACES2065-1; spaces of cameras go
/// through OpenColorIO's own transforms, which follow the makers' papers named in each description.
const char* builtin_config();

/// Matrix, primaries and transfer (ITU-T H.273) of a video in a space of builtin_config(); nullopt
/// where H.273 has no code for it.
std::optional<ColorTag> builtin_tag(const std::string& space);

}  // namespace weft
