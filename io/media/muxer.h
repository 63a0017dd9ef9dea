#pragma once

// Writing media files and streams with libav, for sources of io/media only.

#include <filesystem>
#include <memory>
#include <string>

#include "io/media/libav.h"

namespace weft {

struct OutputDelete {
    void operator()(AVFormatContext* p) const;
};

using OutputHandle = std::unique_ptr<AVFormatContext, OutputDelete>;

/// The container a user names or, with "auto", the name's ending asks for; matroska for pipes.
/// Throws UsageError for an unknown name, Error for an ending that names none.
const AVOutputFormat& container_for(const std::filesystem::path& path, bool pipe,
                                    const std::string& container);

/// Opens `url` ("file:NAME", "pipe:1") for writing. Throws Error naming `name`.
OutputHandle open_output(const AVOutputFormat& format, const std::string& url,
                         const std::string& name);

/// Writes the container's header, in fragments where the output cannot seek.
/// @param time_base of the picture's times: the clock that start offsets are counted in
void write_header(AVFormatContext& output, const Rational& time_base, const std::string& name);

/// Hands a packet to the muxer; Error naming `name` where it or the disk refuses.
void write_packet(AVFormatContext& output, AVPacket& packet, const std::string& name);

/// Writes the rest and closes the output.
void write_trailer(AVFormatContext& output, const std::string& name);

}  // namespace weft
