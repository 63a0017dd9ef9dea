#include "io/media/codecs.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <tuple>
#include <utility>

#include "io/files/error.h"
#include "io/media/convert.h"

namespace weft {
namespace {

std::string known_codecs() {
    std::string list;
    for (const CodecEntry& entry : codec_table())
        list += std::string(list.empty() ? "" : ", ") + entry.name;
    return list;
}

const char* default_codec(const AVOutputFormat& target) {
    const std::string name = target.name;
    if (name == "webm")
        return "vp9";
    if (name == "gif")
        return "gif";
    return name == "yuv4mpegpipe" || name == "rawvideo" ? "raw" : "h264";
}

/// True where chroma blocks tile the picture.
bool tiles(AVPixelFormat format, const StreamInfo& info) {
    const AVPixFmtDescriptor& layout = describe(format);
    return info.width % (1 << layout.log2_chroma_w) == 0 &&
           info.height % (1 << layout.log2_chroma_h) == 0;
}

/// Depth that delivered pictures should have: the source's up to 12 bits; of deeper ones 10, which
/// players have.
int wanted_depth(const StreamInfo& info, std::span<const AVPixelFormat> formats) {
    int deepest = 0;
    for (const AVPixelFormat format : formats) deepest = std::max(deepest, format_depth(format));
    return info.bit_depth > 12 && deepest <= 12 ? 10 : info.bit_depth;
}

/// What two formats have in common where code values can be copied from one to the other.
auto layout_key(AVPixelFormat format) {
    const AVPixFmtDescriptor& layout = describe(format);
    return std::tuple(is_rgb_format(format), has_alpha_plane(format), format_depth(format),
                      static_cast<int>(layout.log2_chroma_w),
                      static_cast<int>(layout.log2_chroma_h),
                      (layout.flags & AV_PIX_FMT_FLAG_FLOAT) != 0);
}

/// True where an encoder without a list of formats, which stores pictures as they are, takes one.
bool stores(const AVCodec& codec, AVPixelFormat format) {
    if (codec.id != AV_CODEC_ID_WRAPPED_AVFRAME)
        return can_encode(format);
    const uint64_t flags = describe(format).flags;  // y4m holds planes of luma and chroma
    return can_encode(format) && !is_rgb_format(format) && !has_alpha_plane(format) &&
           (flags & AV_PIX_FMT_FLAG_PLANAR) != 0 && (flags & AV_PIX_FMT_FLAG_BE) == 0;
}

/// The encoder's format with the same code values as the source's; none where there is none.
std::optional<AVPixelFormat> same_layout(const AVCodec& codec, const StreamInfo& info) {
    const AVPixelFormat source = av_get_pix_fmt(info.pixel_format.c_str());
    if (source == AV_PIX_FMT_NONE || source == AV_PIX_FMT_PAL8)
        return std::nullopt;
    if (codec.pix_fmts == nullptr)
        return stores(codec, source) ? std::optional(source) : std::nullopt;
    for (const AVPixelFormat* format = codec.pix_fmts; *format != AV_PIX_FMT_NONE; ++format) {
        if (can_encode(*format) && layout_key(*format) == layout_key(source))
            return *format;
    }
    return std::nullopt;
}

/// True for the chroma of a picture turned by 90 or 270 degrees, whose place only the streams of
/// H.264 and H.265 can tell.
bool has_turned_chroma(const StreamInfo& info) {
    return info.rotation % 180 != 0 && info.color.chroma != ChromaLocation::unspecified &&
           info.color.chroma != ChromaLocation::left && info.color.chroma != ChromaLocation::center;
}

bool tells_siting(const CodecEntry& entry) {
    return std::strcmp(entry.encoder, "libx264") == 0 || std::strcmp(entry.encoder, "libx265") == 0;
}

/// The clip with chroma at full size where the picture was turned or mirrored: lossless codecs
/// cannot tell where its samples lie.
StreamInfo with_full_chroma(StreamInfo info) {
    const size_t place = info.pixel_format.find("420");
    if ((info.rotation != 0 || info.mirrored) && place != std::string::npos)
        info.pixel_format.replace(place, 3, "444");
    return info;
}

/// True where an encoder on a device opens.
bool device_answers(const AVCodec& codec, AVPixelFormat format) {
    const CodecHandle context(avcodec_alloc_context3(&codec));
    if (context == nullptr)
        return false;
    context->width = context->height = 256;
    context->pix_fmt = format;
    context->time_base = {1, 25};
    clear_log();
    return avcodec_open2(context.get(), &codec, nullptr) >= 0;
}

std::vector<CodecEntry> make_table() {
    using enum CodecKind;
    const std::vector<AVPixelFormat> yuv420 = {AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV420P10,
                                               AV_PIX_FMT_YUV420P12};
    const std::vector<AVPixelFormat> x264 = {AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV420P10,
                                             AV_PIX_FMT_YUV444P, AV_PIX_FMT_YUV444P10};
    const std::vector<AVPixelFormat> x265 = {AV_PIX_FMT_YUV420P,   AV_PIX_FMT_YUV420P10,
                                             AV_PIX_FMT_YUV420P12, AV_PIX_FMT_YUV444P,
                                             AV_PIX_FMT_YUV444P10, AV_PIX_FMT_YUV444P12};
    std::vector<AVPixelFormat> vp9 = yuv420;
    vp9.push_back(AV_PIX_FMT_YUVA420P);
    const std::vector<AVPixelFormat> prores = {AV_PIX_FMT_YUV422P10, AV_PIX_FMT_YUV444P10,
                                               AV_PIX_FMT_YUVA444P10};
    const std::vector<AVPixelFormat> prores4444 = {AV_PIX_FMT_YUV444P10, AV_PIX_FMT_YUVA444P10};
    const std::vector<AVPixelFormat> rgb = {
        AV_PIX_FMT_0RGB32, AV_PIX_FMT_GBRP10,  AV_PIX_FMT_GBRP12,  AV_PIX_FMT_GBRP16,
        AV_PIX_FMT_RGB32,  AV_PIX_FMT_GBRAP10, AV_PIX_FMT_GBRAP12, AV_PIX_FMT_GBRAP16};
    const std::vector<AVPixelFormat> png = {AV_PIX_FMT_RGB24, AV_PIX_FMT_RGB48BE, AV_PIX_FMT_RGBA,
                                            AV_PIX_FMT_RGBA64BE};
    const std::vector<AVPixelFormat> raw = {AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV420P10,
                                            AV_PIX_FMT_YUV420P12, AV_PIX_FMT_YUV420P16};
    const std::vector<AVPixelFormat> device = {AV_PIX_FMT_NV12, AV_PIX_FMT_P010};
    return {
        {"h264", "libx264", delivery, 18, 51, false, x264},
        {"h265", "libx265", delivery, 20, 51, false, x265},
        {"vp9", "libvpx-vp9", delivery, 24, 63, true, vp9},
        {"av1", "libaom-av1", delivery, 24, 63, true, yuv420},
        {"prores", "prores_ks", delivery, -1, 0, false, prores},
        {"prores4444", "prores_ks", delivery, -1, 0, false, prores4444},
        {"ffv1", "ffv1", lossless, -1, 0, true, rgb},
        {"png", "png", lossless, -1, 0, true, png},
        {"raw", "rawvideo", lossless, -1, 0, true, raw},
        {"gif", "gif", delivery, -1, 0, true, {AV_PIX_FMT_BGRA}},
        {"h264_nvenc", "h264_nvenc", hardware, 19, 51, false, {AV_PIX_FMT_NV12}},
        {"h265_nvenc", "hevc_nvenc", hardware, 21, 51, false, device},
        {"h264_qsv", "h264_qsv", hardware, 19, 51, false, {AV_PIX_FMT_NV12}},
        {"h265_qsv", "hevc_qsv", hardware, 21, 51, false, device},
    };
}

}  // namespace

const std::vector<CodecEntry>& codec_table() {
    static const std::vector<CodecEntry> table = make_table();
    return table;
}

const CodecEntry& find_codec(std::string wanted, const AVOutputFormat& target) {
    if (wanted == "auto")
        wanted = default_codec(target);
    for (const CodecEntry& entry : codec_table()) {
        if (wanted == entry.name)
            return entry;
    }
    throw UsageError("--codec", c10::str("'", wanted, "' is no codec weft knows"),
                     c10::str("choose one of ", known_codecs()));
}

bool is_available(const CodecEntry& entry) {
    const AVCodec* codec = avcodec_find_encoder_by_name(entry.encoder);
    if (codec == nullptr)
        return false;
    return entry.kind != CodecKind::hardware || device_answers(*codec, entry.formats.front());
}

AVPixelFormat best_format(std::span<const AVPixelFormat> formats, const StreamInfo& info,
                          bool any_size) {
    TORCH_CHECK(!formats.empty(), "no pixel format to choose from");
    const int depth = wanted_depth(info, formats);
    const auto loss = [&](AVPixelFormat format) {
        const bool alpha = has_alpha_plane(format);
        const int missing = depth - format_depth(format);
        return std::tuple(!any_size && !tiles(format, info), info.has_alpha && !alpha,
                          std::max(0, missing), alpha && !info.has_alpha, std::max(0, -missing));
    };
    return *std::min_element(formats.begin(), formats.end(),
                             [&](auto a, auto b) { return loss(a) < loss(b); });
}

AVPixelFormat format_for(const CodecEntry& entry, const AVCodec& codec, const StreamInfo& info) {
    if (entry.kind == CodecKind::lossless && std::strcmp(entry.name, "png") != 0) {
        if (const auto same = same_layout(codec, with_full_chroma(info)))
            return *same;
    }
    return best_format(entry.formats, info, entry.any_size);
}

ColorTag coded_tag(const StreamInfo& info, AVPixelFormat format, const CodecEntry& entry) {
    ColorTag tag = info.color;
    if (is_rgb_format(format)) {
        tag.matrix = AVCOL_SPC_RGB;
        tag.range = ColorRange::full;
        tag.chroma = ChromaLocation::unspecified;
        return tag;
    }
    if (has_turned_chroma(info) && !tells_siting(entry))
        tag.chroma = describe(format).log2_chroma_w == 0 ? ChromaLocation::unspecified
                                                         : ChromaLocation::left;
    const AVPixelFormat source = av_get_pix_fmt(info.pixel_format.c_str());
    const bool from_rgb = source == AV_PIX_FMT_NONE || is_rgb_format(source);
    if (from_rgb || tag.matrix == AVCOL_SPC_RGB) {
        tag.matrix = resolved(tag, info.width, info.height).matrix;
        tag.range = ColorRange::limited;
    }
    if (std::strcmp(entry.encoder, "prores_ks") == 0 && tag.range == ColorRange::full)
        tag.range = ColorRange::limited;
    return tag;
}

}  // namespace weft
