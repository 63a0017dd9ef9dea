#include "io/media/picture.h"

#include <c10/util/StringUtil.h>

#include <cctype>
#include <cerrno>
#include <fstream>
#include <string>

#include "io/files/error.h"
#include "io/media/convert.h"
#include "io/media/output_file.h"
#include "io/media/reader.h"

namespace weft {
namespace fs = std::filesystem;

namespace {

std::string lower_ending(const fs::path& path) {
    std::string ending = path.extension().string();
    for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return ending;
}

/// How a still format is coded.
struct StillFormat {
    AVCodecID codec;
    AVPixelFormat pixels;
    ColorTag color;
};

StillFormat still_format(const fs::path& path, bool alpha) {
    const std::string ending = lower_ending(path);
    const ColorTag rgb{.matrix = AVCOL_SPC_RGB,
                       .primaries = AVCOL_PRI_BT709,
                       .transfer = AVCOL_TRC_IEC61966_2_1,
                       .range = ColorRange::full,
                       .chroma = ChromaLocation::unspecified};
    if (ending == ".png")
        return {AV_CODEC_ID_PNG, alpha ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24, rgb};
    ColorTag jfif = rgb;  // JFIF: BT.601 over the full range
    jfif.matrix = AVCOL_SPC_BT470BG;
    jfif.chroma = ChromaLocation::center;
    if (ending == ".jpg" || ending == ".jpeg")
        return {AV_CODEC_ID_MJPEG, AV_PIX_FMT_YUVJ444P, jfif};
    throw Error(path.string(), c10::str("no still format '", ending, "'"), "use .png or .jpg");
}

CodecHandle open_still_encoder(const StillFormat& format, const AVFrame& frame) {
    const AVCodec* codec = avcodec_find_encoder(format.codec);
    TORCH_CHECK(codec != nullptr, "libavcodec lacks a still encoder");
    CodecHandle encoder(avcodec_alloc_context3(codec));
    TORCH_CHECK(encoder != nullptr, "out of memory");
    encoder->width = frame.width;
    encoder->height = frame.height;
    encoder->pix_fmt = format.pixels;
    encoder->time_base = {1, 25};
    encoder->color_range = AVCOL_RANGE_JPEG;
    encoder->colorspace = static_cast<AVColorSpace>(format.color.matrix);
    encoder->thread_count = 1;
    encoder->flags |= AV_CODEC_FLAG_QSCALE;
    encoder->global_quality = 2 * FF_QP2LAMBDA;
    clear_log();
    const int code = avcodec_open2(encoder.get(), codec, nullptr);
    TORCH_CHECK(code >= 0, "still encoder does not open: ", error_text(code));
    return encoder;
}

PacketHandle encode_still(const StillFormat& format, AVFrame& frame) {
    const CodecHandle encoder = open_still_encoder(format, frame);
    frame.quality = encoder->global_quality;
    PacketHandle packet = make_packet();
    int code = avcodec_send_frame(encoder.get(), &frame);
    if (code >= 0)
        code = avcodec_receive_packet(encoder.get(), packet.get());
    TORCH_CHECK(code >= 0, "still encoder fails: ", error_text(code));
    return packet;
}

void write_bytes(const OutputFile& output, const AVPacket& packet) {
    std::ofstream file(output.part(), std::ios::binary);
    file.write(reinterpret_cast<const char*>(packet.data), packet.size);
    file.close();
    if (!file)
        throw Error(output.target().string(), "cannot be written: is the disk full?",
                    "free some space or choose another folder");
}

}  // namespace

torch::Tensor read_picture(const fs::path& path) {
    const std::unique_ptr<FrameSource> source = open_video(path, {.threads = 1});
    std::optional<Frame> frame = source->next();
    if (!frame)
        throw Error(path.string(), "holds no picture", "choose another file");
    return frame->pixels;
}

void write_picture(const fs::path& path, const torch::Tensor& pixels) {
    TORCH_CHECK(pixels.dim() == 3 && (pixels.size(0) == 3 || pixels.size(0) == 4),
                "a picture of [3|4, h, w] is needed, got ", pixels.sizes());
    const StillFormat format = still_format(path, pixels.size(0) == 4);
    OutputFile output(path, OutputFile::Existing::replace);
    PictureEncoder converter(format.pixels, pixels.size(2), pixels.size(1), format.color);
    const FrameHandle frame = converter.encode(pixels);
    write_bytes(output, *encode_still(format, *frame));
    output.commit();
}

}  // namespace weft
