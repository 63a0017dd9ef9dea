#pragma once

// The picture codecs a user can name and the pixel formats they are given, for sources of io/media
// only.

#include <span>
#include <string>
#include <vector>

#include "io/media/frame.h"
#include "io/media/libav.h"

namespace weft {

/// What a codec is for.
enum class CodecKind {
    delivery,  // lossy; 8 to 12 bit by the source
    lossless,  // the source's own pixel format wherever the encoder has it
    hardware   // as delivery, on a device that may be absent
};

/// One codec a user can name.
struct CodecEntry {
    const char* name;     // WriteOptions::codec
    const char* encoder;  // libavcodec's name
    CodecKind kind;
    double crf;                          // default quality; < 0: the codec has no such scale
    double max_crf;                      // its worst quality
    bool any_size;                       // codes odd sizes with subsampled chroma
    std::vector<AVPixelFormat> formats;  // what weft gives it, the preferred first
};

/// All codecs, the default first.
const std::vector<CodecEntry>& codec_table();

/// The entry for a name ("auto": by the container). Throws UsageError for an unknown one.
const CodecEntry& find_codec(std::string wanted, const AVOutputFormat& target);

/// False where the encoder is not in this libavcodec or its device does not answer.
bool is_available(const CodecEntry& entry);

/// The format of `formats` that keeps most of a clip: first that it can express the size
/// (`any_size`: all can), then alpha, then depth, then the order of the list.
AVPixelFormat best_format(std::span<const AVPixelFormat> formats, const StreamInfo& info,
                          bool any_size);

/// The format with which a codec gets the clip. Lossless codecs take the clip's own layout and
/// depth where they can, so that an unedited clip keeps its code values.
AVPixelFormat format_for(const CodecEntry& entry, const AVCodec& codec, const StreamInfo& info);

/// The tag of the coded picture: the source's as it is, except where the coding itself changes (RGB
/// to luma and chroma or back, codecs without a full range).
ColorTag coded_tag(const StreamInfo& info, AVPixelFormat format, const CodecEntry& entry);

}  // namespace weft
