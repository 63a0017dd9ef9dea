#pragma once

// Reaching a place deep inside a clip without decoding all before it, for sources of io/media only.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "io/media/time.h"

namespace weft {

/// Where decoding has to begin, and which frame it has to reach.
struct SeekPlan {
    int64_t packets_before = 0;  // packets of the stream to pass over, up to a key frame
    int64_t start = 0;           // pts of the first frame wanted
    std::vector<int64_t>
        times;  // pts of the frames from the clip's first to past `start`, ascending

    /// Number of the frame with this pts.
    int64_t index_of(int64_t pts) const;
};

/// Reads the packets of `stream` up to `from` without decoding them and finds the key frame to
/// begin with. nullopt where beginning at the first packet is as good or the packets do not tell: a
/// near place, packets without distinct times, frames the container hides.
std::optional<SeekPlan> plan_seek(const std::filesystem::path& path, int stream,
                                  const Position& from);

}  // namespace weft
