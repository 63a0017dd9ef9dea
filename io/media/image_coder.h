#pragma once

// Still pictures: the formats weft writes and their encoder, for sources of io/media only.

#include <span>
#include <string>
#include <vector>

#include "io/media/convert.h"
#include "io/media/writer.h"

namespace weft {

/// One still format.
struct ImageFormat {
    std::vector<const char*> endings;
    const char* encoder;                 // libavcodec's name
    std::vector<AVPixelFormat> formats;  // the preferred first
};

/// The format for a file name's ending. Throws Error where weft writes no such pictures.
const ImageFormat& image_format_for(const std::filesystem::path& path);

/// Codes pictures of one size and format to whole files. Thread-safe: yes (immutable).
class ImageCoder {
  public:
    /// @param info size, depth, alpha and colour tags of what is to be written
    /// @throws UsageError for encoder options that the codec does not have
    ImageCoder(const ImageFormat& format, const StreamInfo& info, std::string encoder_options = {});

    /// @param pixels [3|4, h, w] RGB(A)
    /// @return the bytes of the file
    PacketHandle encode(const torch::Tensor& pixels) const;

    bool keeps_alpha() const { return has_alpha_plane(pixel_format_); }

  private:
    CodecHandle open() const;

    const AVCodec* codec_ = nullptr;
    StreamInfo info_;
    std::string options_;
    AVPixelFormat pixel_format_ = AV_PIX_FMT_NONE;
    ColorTag color_;
};

/// Writes the bytes to a new file. Throws Error naming `name` where the disk refuses.
void write_bytes(const std::filesystem::path& path, const AVPacket& packet,
                 const std::string& name);

}  // namespace weft
