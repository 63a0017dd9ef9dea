#include "io/media/image_coder.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "io/files/error.h"
#include "io/media/codecs.h"
#include "io/media/encoder_options.h"
#include "io/media/location.h"

namespace weft {
namespace fs = std::filesystem;

namespace {

const std::vector<ImageFormat>& image_formats() {
    static const std::vector<ImageFormat> table = {
        {{".png"},
         "png",
         {AV_PIX_FMT_RGB24, AV_PIX_FMT_RGB48BE, AV_PIX_FMT_RGBA, AV_PIX_FMT_RGBA64BE}},
        {{".jpg", ".jpeg"}, "mjpeg", {AV_PIX_FMT_YUVJ444P}},
        {{".tif", ".tiff"},
         "tiff",
         {AV_PIX_FMT_RGB24, AV_PIX_FMT_RGB48LE, AV_PIX_FMT_RGBA, AV_PIX_FMT_RGBA64LE}},
        {{".dpx"},
         "dpx",
         {AV_PIX_FMT_RGB24, AV_PIX_FMT_GBRP10BE, AV_PIX_FMT_GBRP12BE, AV_PIX_FMT_RGB48BE,
          AV_PIX_FMT_RGBA, AV_PIX_FMT_RGBA64BE}},
        {{".exr"}, "exr", {AV_PIX_FMT_GBRPF32, AV_PIX_FMT_GBRAPF32}},
    };
    return table;
}

/// The tag of the stored values: RGB over the full range, or JFIF's BT.601 over the full range.
ColorTag stored_tag(const StreamInfo& info, AVPixelFormat format) {
    ColorTag tag = info.color;
    tag.range = ColorRange::full;
    tag.matrix = is_rgb_format(format) ? AVCOL_SPC_RGB : AVCOL_SPC_BT470BG;
    tag.chroma = is_rgb_format(format) ? ChromaLocation::unspecified : ChromaLocation::center;
    return tag;
}

void set_private(const AVCodec& codec, const StreamInfo& info, Options& dictionary) {
    const std::string name = codec.name;
    if (name == "exr") {
        dictionary.set("format", info.is_float && info.bit_depth > 16 ? "float" : "half");
        dictionary.set("compression", "zip16");
    }
    if (name == "tiff")
        dictionary.set("compression_algo", "deflate");
}

}  // namespace

const ImageFormat& image_format_for(const fs::path& path) {
    const std::string ending = lower_ending(path);
    for (const ImageFormat& format : image_formats()) {
        for (const char* known : format.endings) {
            if (ending == known)
                return format;
        }
    }
    throw Error(path.string(), c10::str("no still format '", ending, "'"),
                "use .png, .jpg, .tif, .dpx or .exr");
}

ImageCoder::ImageCoder(const ImageFormat& format, const StreamInfo& info,
                       std::string encoder_options)
    : codec_(avcodec_find_encoder_by_name(format.encoder)),
      info_(info),
      options_(std::move(encoder_options)) {
    TORCH_CHECK(codec_ != nullptr, "libavcodec lacks the encoder ", format.encoder);
    const auto chosen = EncoderOptions(options_).pixel_format(*codec_);
    pixel_format_ = chosen.value_or(best_format(format.formats, info, /*any_size=*/true));
    color_ = stored_tag(info, pixel_format_);
    static_cast<void>(open());  // refuses wrong options before anything is made
}

CodecHandle ImageCoder::open() const {
    CodecHandle encoder(avcodec_alloc_context3(codec_));
    TORCH_CHECK(encoder != nullptr, "out of memory");
    encoder->width = static_cast<int>(info_.width);
    encoder->height = static_cast<int>(info_.height);
    encoder->pix_fmt = pixel_format_;
    encoder->time_base = {1, 25};
    encoder->sample_aspect_ratio = to_av(info_.sar);
    encoder->color_range = AVCOL_RANGE_JPEG;
    encoder->colorspace = static_cast<AVColorSpace>(color_.matrix);
    encoder->color_primaries = static_cast<AVColorPrimaries>(color_.primaries);
    encoder->color_trc = static_cast<AVColorTransferCharacteristic>(color_.transfer);
    encoder->thread_count = 1;
    if (codec_->id == AV_CODEC_ID_MJPEG) {  // about quality 95
        encoder->flags |= AV_CODEC_FLAG_QSCALE;
        encoder->global_quality = 2 * FF_QP2LAMBDA;
    }
    Options dictionary;
    set_private(*codec_, info_, dictionary);
    EncoderOptions(options_).add_to(dictionary);
    clear_log();
    const int code = avcodec_open2(encoder.get(), codec_, dictionary.address());
    if (code < 0)
        throw Error("",
                    c10::str("a picture of ", info_.width, "x", info_.height,
                             " cannot be written as ", codec_->name, ": ", error_text(code)),
                    "choose another ending or --encoder-opts");
    refuse_unused(dictionary, *codec_);
    return encoder;
}

PacketHandle ImageCoder::encode(const torch::Tensor& pixels) const {
    const PictureEncoder converter(pixel_format_, info_.width, info_.height, color_);
    const FrameHandle frame = converter.encode(pixels);
    const CodecHandle encoder = open();
    frame->quality = encoder->global_quality;
    frame->sample_aspect_ratio = encoder->sample_aspect_ratio;
    PacketHandle packet = make_packet();
    int code = avcodec_send_frame(encoder.get(), frame.get());
    if (code >= 0)
        code = avcodec_send_frame(encoder.get(), nullptr);
    if (code >= 0)
        code = avcodec_receive_packet(encoder.get(), packet.get());
    TORCH_CHECK(code >= 0, "the ", codec_->name, " encoder fails: ", error_text(code));
    return packet;
}

void write_bytes(const fs::path& path, const AVPacket& packet, const std::string& name) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(packet.data), packet.size);
    file.close();
    if (!file)
        throw Error(name, "cannot be written: is the disk full?",
                    "free some space or choose another folder");
}

}  // namespace weft
