#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/media/frame.h"

namespace weft {

/// What a media file is, from its headers and first packets.
struct MediaInfo {
    std::string container;  // libav's name of the format
    Time duration;          // of the whole file; 0 where unknown
    int64_t bit_rate = 0;   // bits a second; 0 where unknown
    int64_t chapters = 0;
    std::map<std::string, std::string> tags;  // title, creation_time ...
    std::optional<StreamInfo> video;          // nullopt: no video stream
    std::vector<SideStream> others;
};

/// Opens `path` with the same rules as open_video. Throws Error where it is no media file.
MediaInfo inspect_media(const std::filesystem::path& path);

/// What this build of libav can write: names for WriteOptions::codec whose encoder is there.
std::vector<std::string> available_codecs();

/// Why nothing can be written with the codec of this name ("auto" can) here: it is unknown, missing
/// from this build of libav, or its device does not answer; empty where it can.
std::string codec_problem(const std::string& name);

}  // namespace weft
