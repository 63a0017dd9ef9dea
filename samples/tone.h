#pragma once

#include <filesystem>

namespace weft {

/// Writes a soft chord as AAC in an .m4a file: 44.1 kHz, stereo, fading in and out.
/// Throws std::runtime_error where libav has no AAC encoder or the file cannot be written.
void write_tone(const std::filesystem::path& path, double duration_s);

}  // namespace weft
