#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>

#include "io/media/frame.h"

namespace weft {

/// What to do about damage inside a source.
enum class Damage {
    refuse,  // Error naming the file, the frame and the time
    skip     // keep what decodes; warnings() counts what was lost
};

struct ReadOptions {
    std::optional<Position> from =
        std::nullopt;  // first frame read: the first one shown at or after it
    std::optional<Position> to = std::nullopt;  // end, not included
    Damage damage = Damage::refuse;
    int threads = 2;                  // of the decoder
    int64_t max_pixels = 64'000'000;  // w*h of a frame; larger ones are an Error before allocation
    Rational sequence_rate{24, 1};    // frames a second that image sequences are shown at
    /// Pipes: keep the packets of other streams for the writer, which cannot read them again.
    bool keep_streams = false;
    /// Pipes: set from outside to end a wait for data with Interrupted. May be null.
    const std::atomic<bool>* stop = nullptr;
};

/// Opens the main video stream (covers are not one) of any local file libav decodes, an image
/// sequence ("shot.%04d.exr", "shot.####.png", or a folder that holds one) or a pipe ("-" for
/// standard input, or a FIFO), and streams its frames; memory does not depend on the clip's
/// length. Network addresses, playlists and devices are never followed. Rotation metadata is
/// applied, interlaced pictures are deinterlaced (one frame per frame) with a warning, pixels keep
/// their exact times. Throws Error for a file that is missing, empty, a folder, no media, without
/// video, too large, or whose colour coding weft cannot undo; next() throws one where the file is
/// damaged or ends early.
std::unique_ptr<FrameSource> open_video(const std::filesystem::path& path,
                                        const ReadOptions& options = {});

}  // namespace weft
