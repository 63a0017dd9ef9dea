#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/media/frame.h"

namespace weft {

/// A shelf with the tiny model under the name "starter", made once.
const std::filesystem::path& tiny_shelf();

/// Makes a clip with the ffmpeg tool from a lavfi source.
std::string make_clip(const std::filesystem::path& path, const std::string& pattern,
                      const std::vector<std::string>& more = {});

/// One line a packet or frame of a stream, as ffprobe prints it.
std::string probe(const std::string& path, const std::string& stream, const std::string& entries);

std::vector<Frame> frames_of(const std::string& path);

/// Names of what a folder holds, sorted.
std::vector<std::string> names_in(const std::filesystem::path& folder);

}  // namespace weft
