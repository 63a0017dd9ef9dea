#include "io/media/convert.h"

#include <c10/util/StringUtil.h>

#include <array>
#include <cmath>

#include "io/files/error.h"

extern "C" {
#include <libavutil/opt.h>
}

namespace weft {
namespace {

/// swscale's SIMD code writes and reads whole vectors: rows are padded to this many floats.
constexpr int64_t row_floats = 32;

/// Planar RGB is stored G, B, R, A: the plane of each of R, G, B, A.
constexpr std::array<int, 4> plane_of_channel = {2, 0, 1, 3};

const AVPixFmtDescriptor& describe(AVPixelFormat format) {
    const AVPixFmtDescriptor* description = av_pix_fmt_desc_get(format);
    TORCH_CHECK(description != nullptr, "unknown pixel format ", static_cast<int>(format));
    return *description;
}

bool has_flag(AVPixelFormat format, uint64_t flag) {
    return (describe(format).flags & flag) != 0;
}

bool is_full_range_format(AVPixelFormat format) {
    switch (format) {
        case AV_PIX_FMT_YUVJ420P:
        case AV_PIX_FMT_YUVJ422P:
        case AV_PIX_FMT_YUVJ444P:
        case AV_PIX_FMT_YUVJ440P:
        case AV_PIX_FMT_YUVJ411P:
            return true;
        default:
            return false;
    }
}

/// Code point of the matrix for swscale; Error where it has none.
int swscale_matrix(const ColorTag& tag) {
    switch (tag.matrix) {
        case AVCOL_SPC_BT709:
        case AVCOL_SPC_FCC:
        case AVCOL_SPC_BT470BG:
        case AVCOL_SPC_SMPTE170M:
        case AVCOL_SPC_SMPTE240M:
        case AVCOL_SPC_BT2020_NCL:
            return tag.matrix;
        default:
            throw Error("",
                        c10::str("colour matrix '", matrix_name(tag.matrix), "' is not supported"),
                        "convert the clip to BT.709 or BT.2020 non-constant luminance first");
    }
}

/// Vertical and horizontal siting in 1/256 of a chroma sample, as swscale counts.
struct Siting {
    int horizontal;
    int vertical;
};

Siting siting(ChromaLocation location, const AVPixFmtDescriptor& format) {
    const bool at_left = location == ChromaLocation::left || location == ChromaLocation::top_left ||
                         location == ChromaLocation::bottom_left;
    int vertical = 128;
    if (location == ChromaLocation::top || location == ChromaLocation::top_left)
        vertical = 0;
    if (location == ChromaLocation::bottom || location == ChromaLocation::bottom_left)
        vertical = 256;
    return {.horizontal = format.log2_chroma_w == 1 ? (at_left ? 0 : 128) : -513,
            .vertical = format.log2_chroma_h == 1 ? vertical : -513};
}

struct Conversion {
    int width;
    int height;
    AVPixelFormat from;
    AVPixelFormat to;
    ColorTag color;  // of the side that is luma and chroma; resolved
};

void set_option(SwsContext& scaler, const char* name, int64_t value) {
    const int code = av_opt_set_int(&scaler, name, value, 0);
    TORCH_CHECK(code >= 0, "swscale refuses ", name, " = ", value);
}

/// A swscale context for a conversion at full size with exact arithmetic and full chroma
/// resolution.
ScalerHandle make_scaler(const Conversion& job) {
    ScalerHandle scaler(sws_alloc_context());
    TORCH_CHECK(scaler != nullptr, "out of memory");
    set_option(*scaler, "srcw", job.width);
    set_option(*scaler, "srch", job.height);
    set_option(*scaler, "src_format", job.from);
    set_option(*scaler, "dstw", job.width);
    set_option(*scaler, "dsth", job.height);
    set_option(*scaler, "dst_format", job.to);
    set_option(
        *scaler, "sws_flags",
        SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_BITEXACT);
    const Siting source = siting(job.color.chroma, describe(job.from));
    const Siting target = siting(job.color.chroma, describe(job.to));
    set_option(*scaler, "src_h_chr_pos", source.horizontal);
    set_option(*scaler, "src_v_chr_pos", source.vertical);
    set_option(*scaler, "dst_h_chr_pos", target.horizontal);
    set_option(*scaler, "dst_v_chr_pos", target.vertical);
    clear_log();
    if (sws_init_context(scaler.get(), nullptr, nullptr) < 0)
        throw Error("", c10::str("pixel format '", describe(job.from).name, "' is not supported"),
                    "convert the clip to yuv420p or rgb24 first");
    if (!is_rgb_format(job.from) || !is_rgb_format(job.to)) {
        const int* table = sws_getCoefficients(swscale_matrix(job.color));
        const int range = job.color.range == ColorRange::full ? 1 : 0;
        sws_setColorspaceDetails(scaler.get(), table, range, table, range, 0, 1 << 16, 1 << 16);
    }
    return scaler;
}

/// A picture plane as a tensor that shares its memory.
torch::Tensor plane_view(const AVFrame& frame, int plane, torch::ScalarType type) {
    const int64_t item = static_cast<int64_t>(c10::elementSize(type));
    return torch::from_blob(frame.data[plane], {frame.height, frame.width},
                            {frame.linesize[plane] / item, 1}, torch::dtype(type));  // [h, w]
}

/// The native planar RGB format that holds `format` without loss.
AVPixelFormat planar_rgb(AVPixelFormat format) {
    const bool alpha = has_alpha_plane(format);
    if (has_flag(format, AV_PIX_FMT_FLAG_FLOAT))
        return alpha ? AV_PIX_FMT_GBRAPF32 : AV_PIX_FMT_GBRPF32;
    if (format_depth(format) <= 8)
        return alpha ? AV_PIX_FMT_GBRAP : AV_PIX_FMT_GBRP;
    return alpha ? AV_PIX_FMT_GBRAP16 : AV_PIX_FMT_GBRP16;
}

bool is_planar_rgb(AVPixelFormat format) {
    return has_flag(format, AV_PIX_FMT_FLAG_RGB) && has_flag(format, AV_PIX_FMT_FLAG_PLANAR) &&
           !has_flag(format, AV_PIX_FMT_FLAG_BE);
}

torch::ScalarType plane_type(AVPixelFormat format) {
    if (has_flag(format, AV_PIX_FMT_FLAG_FLOAT))
        return torch::kFloat32;
    return format_depth(format) > 8 ? torch::kUInt16 : torch::kUInt8;
}

/// Code value of 1.0.
double peak(AVPixelFormat format) {
    return has_flag(format, AV_PIX_FMT_FLAG_FLOAT)
               ? 1.0
               : static_cast<double>((int64_t{1} << format_depth(format)) - 1);
}

torch::Tensor from_planar_rgb(const AVFrame& frame) {
    const auto format = static_cast<AVPixelFormat>(frame.format);
    const int64_t channels = has_alpha_plane(format) ? 4 : 3;
    torch::Tensor pixels = torch::empty({channels, frame.height, frame.width});
    for (int64_t c = 0; c < channels; ++c)
        pixels[c].copy_(plane_view(frame, plane_of_channel[c], plane_type(format)));
    return pixels.div_(peak(format));
}

/// Palette pictures: 8-bit indices in plane 0, 256 native-endian ARGB words in plane 1.
torch::Tensor from_palette(const AVFrame& frame) {
    const torch::Tensor indices = plane_view(frame, 0, torch::kUInt8).to(torch::kInt64);
    const torch::Tensor bgra = torch::from_blob(frame.data[1], {256, 4}, torch::kUInt8);
    const torch::Tensor rgba =
        bgra.to(torch::kFloat32).div(255).index_select(1, torch::tensor({2, 1, 0, 3}));  // [256, 4]
    const torch::Tensor picked = rgba.index_select(0, indices.flatten());                // [h*w, 4]
    return picked.t().reshape({4, frame.height, frame.width}).contiguous();
}

bool is_gray_format(AVPixelFormat format) {
    return !is_rgb_format(format) && describe(format).nb_components <= 2;
}

/// The component of a native-endian picture as a tensor that shares its memory.
torch::Tensor component_view(const AVFrame& frame, int component) {
    const auto format = static_cast<AVPixelFormat>(frame.format);
    const AVComponentDescriptor& part = describe(format).comp[component];
    const torch::ScalarType type = plane_type(format);
    const int64_t item = static_cast<int64_t>(c10::elementSize(type));
    return torch::from_blob(frame.data[part.plane] + part.offset, {frame.height, frame.width},
                            {frame.linesize[part.plane] / item, part.step / item},
                            torch::dtype(type));  // [h, w]
}

/// Gray and gray with alpha, whole bytes a component: luma alone, by hand since swscale gives such
/// pictures a colour cast in 16 bits.
torch::Tensor from_gray(const AVFrame& frame) {
    const auto format = static_cast<AVPixelFormat>(frame.format);
    const bool limited = frame_color(frame).range == ColorRange::limited;
    const double unit = limited ? std::exp2(format_depth(format) - 8) : 1.0;
    torch::Tensor luma = component_view(frame, 0).to(torch::kFloat32);  // [h, w]
    if (limited)
        luma.sub_(16 * unit).div_(219 * unit).clamp_(0, 1);
    else
        luma.div_(peak(format));
    if (!has_alpha_plane(format))
        return luma.unsqueeze(0).repeat({3, 1, 1});
    const torch::Tensor alpha = component_view(frame, 1).to(torch::kFloat32).div_(peak(format));
    return torch::stack({luma, luma, luma, alpha});
}

/// What swscale's 16-bit arithmetic takes for 1.0, of 65535: it shifts code values up instead of
/// stretching them, so that white falls short by up to 0.4 %.
double swscale_white(AVPixelFormat format, ColorRange range) {
    const int depth = format_depth(format);
    if (range != ColorRange::full || depth <= 8)
        return 65280.0 / 65535;
    return std::exp2(16 - depth) * (std::exp2(depth) - 1) / 65535;
}

FrameHandle make_picture(AVPixelFormat format, int64_t width, int64_t height) {
    FrameHandle frame = make_frame();
    frame->format = format;
    frame->width = static_cast<int>(width);
    frame->height = static_cast<int>(height);
    if (av_frame_get_buffer(frame.get(), 0) < 0)
        throw Error("", "out of memory for a picture", "close other programs");
    return frame;
}

}  // namespace

bool is_rgb_format(AVPixelFormat format) {
    return has_flag(format, AV_PIX_FMT_FLAG_RGB) || format == AV_PIX_FMT_PAL8;
}

int format_depth(AVPixelFormat format) {
    const AVPixFmtDescriptor& description = describe(format);
    int depth = 0;
    for (int i = 0; i < description.nb_components; ++i)
        depth = std::max(depth, description.comp[i].depth);
    return depth;
}

bool has_alpha_plane(AVPixelFormat format) {
    return has_flag(format, AV_PIX_FMT_FLAG_ALPHA);
}

ColorTag frame_color(const AVFrame& frame) {
    const auto format = static_cast<AVPixelFormat>(frame.format);
    ColorTag tag{.matrix = frame.colorspace,
                 .primaries = frame.color_primaries,
                 .transfer = frame.color_trc,
                 .range = static_cast<ColorRange>(frame.color_range),
                 .chroma = static_cast<ChromaLocation>(frame.chroma_location)};
    const bool is_gray = describe(format).nb_components <= 2;
    if (is_full_range_format(format) || is_rgb_format(format) ||
        (is_gray && tag.range == ColorRange::unspecified))
        tag.range = ColorRange::full;
    return tag;
}

torch::Tensor PictureDecoder::decode(const AVFrame& frame) {
    const auto format = static_cast<AVPixelFormat>(frame.format);
    if (format == AV_PIX_FMT_PAL8)
        return from_palette(frame);
    if (is_gray_format(format))
        return decode_gray(frame);
    return is_rgb_format(format) ? decode_rgb(frame) : decode_yuv(frame);
}

void PictureDecoder::prepare(const AVFrame& frame, AVPixelFormat target) {
    const Setup wanted{.width = frame.width,
                       .height = frame.height,
                       .format = frame.format,
                       .color = resolved(frame_color(frame), frame.width, frame.height)};
    if (scaler_ != nullptr && wanted == setup_)
        return;
    scaler_ = make_scaler({.width = frame.width,
                           .height = frame.height,
                           .from = static_cast<AVPixelFormat>(frame.format),
                           .to = target,
                           .color = wanted.color});
    planar_.reset();
    setup_ = wanted;
}

/// Converts into `planar_`, a picture of format `target`.
void PictureDecoder::convert(const AVFrame& frame, AVPixelFormat target) {
    prepare(frame, target);
    if (planar_ == nullptr)
        planar_ = make_picture(target, frame.width, frame.height);
    const int rows = sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height,
                               planar_->data, planar_->linesize);
    TORCH_CHECK(rows == frame.height, "swscale converted ", rows, " of ", frame.height, " rows");
}

torch::Tensor PictureDecoder::decode_rgb(const AVFrame& frame) {
    const auto format = static_cast<AVPixelFormat>(frame.format);
    if (is_planar_rgb(format))
        return from_planar_rgb(frame);
    convert(frame, planar_rgb(format));
    return from_planar_rgb(*planar_);
}

torch::Tensor PictureDecoder::decode_gray(const AVFrame& frame) {
    const auto format = static_cast<AVPixelFormat>(frame.format);
    const bool bytes = describe(format).comp[0].depth >= 8 &&
                       !has_flag(format, AV_PIX_FMT_FLAG_BE) &&
                       !has_flag(format, AV_PIX_FMT_FLAG_FLOAT);
    if (bytes)
        return from_gray(frame);
    convert(frame, format_depth(format) > 8 ? AV_PIX_FMT_GRAY16 : AV_PIX_FMT_GRAY8);
    planar_->color_range = AVCOL_RANGE_JPEG;
    return from_gray(*planar_);
}

torch::Tensor PictureDecoder::decode_yuv(const AVFrame& frame) {
    const bool alpha = has_alpha_plane(static_cast<AVPixelFormat>(frame.format));
    prepare(frame, alpha ? AV_PIX_FMT_GBRAPF32 : AV_PIX_FMT_GBRPF32);
    const int64_t channels = alpha ? 4 : 3;
    const int64_t stride = (frame.width + row_floats - 1) / row_floats * row_floats;
    torch::Tensor padded = torch::empty({channels, frame.height, stride});
    std::array<uint8_t*, 4> planes{};
    std::array<int, 4> strides{};
    for (int64_t c = 0; c < channels; ++c) {
        planes[plane_of_channel[c]] = static_cast<uint8_t*>(padded[c].data_ptr());
        strides[plane_of_channel[c]] = static_cast<int>(stride * sizeof(float));
    }
    const int rows = sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height,
                               planes.data(), strides.data());
    TORCH_CHECK(rows == frame.height, "swscale converted ", rows, " of ", frame.height, " rows");
    torch::Tensor pixels = padded.narrow(2, 0, frame.width).contiguous();
    const auto format = static_cast<AVPixelFormat>(frame.format);
    pixels.div_(swscale_white(format, setup_.color.range)).clamp_max_(1);
    return pixels;
}

PictureEncoder::PictureEncoder(AVPixelFormat format, int64_t width, int64_t height, ColorTag color)
    : format_(format),
      width_(width),
      height_(height),
      channels_(has_alpha_plane(format) ? 4 : 3),
      color_(color) {
    const int64_t count = channels_ * height * width;
    scratch_ = torch::zeros({count + 2 * row_floats});
    planes_ = scratch_.narrow(0, 0, count).view({channels_, height, width});
    if (!is_rgb_format(format))
        scaler_ = make_scaler({.width = static_cast<int>(width),
                               .height = static_cast<int>(height),
                               .from = channels_ == 4 ? AV_PIX_FMT_GBRAPF32 : AV_PIX_FMT_GBRPF32,
                               .to = format,
                               .color = color});
}

FrameHandle PictureEncoder::encode(const torch::Tensor& pixels) {
    TORCH_CHECK(pixels.dim() == 3 && (pixels.size(0) == 3 || pixels.size(0) == 4) &&
                    pixels.size(1) == height_ && pixels.size(2) == width_,
                "a picture of [3|4, ", height_, ", ", width_, "] is needed, got ", pixels.sizes());
    if (channels_ == 4 && pixels.size(0) == 3)
        planes_[3].fill_(1);
    const int64_t shared = std::min(channels_, pixels.size(0));
    planes_.narrow(0, 0, shared).copy_(pixels.narrow(0, 0, shared));
    planes_.nan_to_num_(0.0, 1.0, 0.0).clamp_(0, 1);
    if (!is_rgb_format(format_))
        planes_.mul_(swscale_white(format_, color_.range));
    FrameHandle frame = make_picture(format_, width_, height_);
    frame->colorspace = static_cast<AVColorSpace>(color_.matrix);
    frame->color_primaries = static_cast<AVColorPrimaries>(color_.primaries);
    frame->color_trc = static_cast<AVColorTransferCharacteristic>(color_.transfer);
    frame->color_range = static_cast<AVColorRange>(color_.range);
    frame->chroma_location = static_cast<AVChromaLocation>(color_.chroma);
    if (is_rgb_format(format_))
        encode_rgb(planes_, *frame);
    else
        encode_yuv(*frame);
    return frame;
}

void PictureEncoder::encode_rgb(const torch::Tensor& pixels, AVFrame& frame) const {
    torch::Tensor codes = pixels.mul(peak(format_)).round_();
    if (has_flag(format_, AV_PIX_FMT_FLAG_BE) && format_depth(format_) > 8)
        codes = codes.remainder(256).mul_(256).add_(codes.div(256).floor_());  // swap the bytes
    for (int c = 0; c < describe(format_).nb_components; ++c)
        component_view(frame, c).copy_(codes[c]);
}

void PictureEncoder::encode_yuv(AVFrame& frame) {
    std::array<const uint8_t*, 4> planes{};
    std::array<int, 4> strides{};
    for (int64_t c = 0; c < channels_; ++c) {
        planes[plane_of_channel[c]] = static_cast<const uint8_t*>(planes_[c].data_ptr());
        strides[plane_of_channel[c]] = static_cast<int>(width_ * sizeof(float));
    }
    const int rows = sws_scale(scaler_.get(), planes.data(), strides.data(), 0,
                               static_cast<int>(height_), frame.data, frame.linesize);
    TORCH_CHECK(rows == height_, "swscale converted ", rows, " of ", height_, " rows");
}

}  // namespace weft
