#pragma once

// What libav does not tell of OpenEXR files, for sources of io/media only.

#include <filesystem>

namespace weft {

/// Bits of the colour channels of an OpenEXR file: 16 for half floats, 32 for floats and integers;
/// 32 too where the header cannot be read. ("Technical Introduction to OpenEXR", channel list.)
int exr_channel_bits(const std::filesystem::path& path);

}  // namespace weft
