#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "diffusion/device.h"
#include "io/media/writer.h"
#include "video/clip_work.h"

namespace weft {

// Note [Digests]
// A segment's file carries a digest of everything its bytes depend on, so that what an earlier or
// another run made is taken over exactly where it is what this run would make. Contents count, not
// paths, so that the same work on another machine has the same digests. They tell versions apart
// and guard against nothing.

/// What of a run the segments' digests depend on beside the segment.
struct DigestInputs {
    std::filesystem::path model;  // folder or file
    Placement placement;
    std::filesystem::path out;
    StreamInfo info;
    WriteOptions writing;
};

/// Digests of all segments, by number: of this program, the plan, what IN, the model and its
/// additions hold, how it is encoded, the kind of device, and of the segment its frames with their
/// times, its anchor and its key frames.
std::vector<std::string> segment_digests(const Job& job, const ClipWork& work,
                                         const DigestInputs& inputs);

/// One digest of them all.
std::string digest_of_all(const std::vector<std::string>& digests);

}  // namespace weft
