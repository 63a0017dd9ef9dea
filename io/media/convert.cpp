#include "io/media/convert.h"

#include <c10/util/StringUtil.h>

#include <array>
#include <cmath>

#include "io/files/error.h"
#include "io/media/chroma.h"
#include "io/media/yuv_rows.h"

namespace weft {
namespace {

AVPixelFormat format_of(const AVFrame& frame) {
    return static_cast<AVPixelFormat>(frame.format);
}

bool is_full_range_format(AVPixelFormat format) {
    return format == AV_PIX_FMT_YUVJ420P || format == AV_PIX_FMT_YUVJ422P ||
           format == AV_PIX_FMT_YUVJ444P || format == AV_PIX_FMT_YUVJ440P ||
           format == AV_PIX_FMT_YUVJ411P;
}

torch::ScalarType component_type(AVPixelFormat format) {
    if (is_float(format))
        return torch::kFloat32;
    return format_depth(format) > 8 ? torch::kUInt16 : torch::kUInt8;
}

/// A component of a picture as a tensor that shares its memory, chroma at its own size.
torch::Tensor component_view(const AVFrame& frame, int component) {
    const AVPixFmtDescriptor& layout = describe(format_of(frame));
    const AVComponentDescriptor& part = layout.comp[component];
    const bool chroma = (component == 1 || component == 2) && !is_rgb_format(format_of(frame)) &&
                        layout.nb_components >= 3;
    const int64_t height =
        chroma ? AV_CEIL_RSHIFT(frame.height, layout.log2_chroma_h) : frame.height;
    const int64_t width = chroma ? AV_CEIL_RSHIFT(frame.width, layout.log2_chroma_w) : frame.width;
    const torch::ScalarType type = component_type(format_of(frame));
    const auto item = static_cast<int64_t>(c10::elementSize(type));
    return torch::from_blob(frame.data[part.plane] + part.offset, {height, width},
                            {frame.linesize[part.plane] / item, part.step / item},
                            torch::dtype(type));  // [h, w]
}

torch::Tensor bytes_swapped(const torch::Tensor& codes) {
    return codes.remainder(256).mul_(256).add_(codes.div(256).floor_());
}

bool is_swapped(AVPixelFormat format) {
    return has_flag(format, AV_PIX_FMT_FLAG_BE) && component_type(format) == torch::kUInt16;
}

/// The code values of a component, as float [h, w].
torch::Tensor codes_of(const AVFrame& frame, int component) {
    torch::Tensor codes = component_view(frame, component).to(torch::kFloat32);
    if (is_swapped(format_of(frame)))
        codes = bytes_swapped(codes);
    const int shift = describe(format_of(frame)).comp[component].shift;
    return shift == 0 ? codes : codes.div_(std::exp2(shift)).floor_();
}

void store_codes(AVFrame& frame, int component, const torch::Tensor& values) {
    torch::Tensor codes = values;
    if (!is_float(format_of(frame)))
        codes = codes.round().clamp_(0, peak(format_of(frame)));
    if (const int shift = describe(format_of(frame)).comp[component].shift; shift != 0)
        codes = codes * std::exp2(shift);
    component_view(frame, component)
        .copy_(is_swapped(format_of(frame)) ? bytes_swapped(codes) : codes);
}

/// Palette pictures: 8-bit indices in plane 0, 256 native-endian ARGB words in plane 1.
torch::Tensor from_palette(const AVFrame& frame) {
    const torch::Tensor indices = torch::from_blob(frame.data[0], {frame.height, frame.width},
                                                   {frame.linesize[0], 1}, torch::kUInt8)
                                      .to(torch::kInt64);
    const torch::Tensor bgra = torch::from_blob(frame.data[1], {256, 4}, torch::kUInt8);
    const torch::Tensor rgba =
        bgra.to(torch::kFloat32).div(255).index_select(1, torch::tensor({2, 1, 0, 3}));  // [256, 4]
    const torch::Tensor picked = rgba.index_select(0, indices.flatten());                // [h*w, 4]
    return picked.t().reshape({4, frame.height, frame.width}).contiguous();
}

torch::Tensor from_rgb(const AVFrame& frame) {
    const int64_t channels = has_alpha_plane(format_of(frame)) ? 4 : 3;
    torch::Tensor pixels = torch::empty({channels, frame.height, frame.width});
    for (int c = 0; c < channels; ++c) pixels[c].copy_(codes_of(frame, c));
    return pixels.div_(peak(format_of(frame)));
}

/// Black and white of luma, and centre and swing of chroma, in code values (ITU-T H.273, 8.3).
struct Levels {
    double black;
    double luma_swing;
    double centre;
    double chroma_swing;
};

Levels levels_of(AVPixelFormat format, ColorRange range) {
    if (is_float(format))
        return {.black = 0, .luma_swing = 1, .centre = 0, .chroma_swing = 1};
    const double unit = std::exp2(format_depth(format) - 8);
    if (range == ColorRange::full)
        return {.black = 0,
                .luma_swing = peak(format),
                .centre = 128 * unit,
                .chroma_swing = peak(format)};
    return {.black = 16 * unit,
            .luma_swing = 219 * unit,
            .centre = 128 * unit,
            .chroma_swing = 224 * unit};
}

torch::Tensor from_gray(const AVFrame& frame) {
    const AVPixelFormat format = format_of(frame);
    const Levels levels = levels_of(format, frame_color(frame).range);
    const torch::Tensor luma =
        codes_of(frame, 0).sub_(levels.black).div_(levels.luma_swing);  // [h, w]
    if (!has_alpha_plane(format))
        return luma.unsqueeze(0).repeat({3, 1, 1});
    return torch::stack({luma, luma, luma, codes_of(frame, 1).div_(peak(format))});
}

/// The weights of red and blue in luma (ITU-T H.273, table 4).
struct LumaWeights {
    double red;
    double blue;
};

LumaWeights luma_weights(int matrix) {
    switch (matrix) {
        case AVCOL_SPC_BT709:
            return {.red = 0.2126, .blue = 0.0722};
        case AVCOL_SPC_FCC:
            return {.red = 0.30, .blue = 0.11};
        case AVCOL_SPC_BT470BG:
        case AVCOL_SPC_SMPTE170M:
            return {.red = 0.299, .blue = 0.114};
        case AVCOL_SPC_SMPTE240M:
            return {.red = 0.212, .blue = 0.087};
        case AVCOL_SPC_BT2020_NCL:
            return {.red = 0.2627, .blue = 0.0593};
        default:
            throw Error("", c10::str("colour matrix '", matrix_name(matrix), "' is not supported"),
                        "convert the clip to BT.709 or BT.2020 non-constant luminance first");
    }
}

/// RGB = matrix * (codes - offset) for codes Y, Cb, Cr.
struct CodeMatrix {
    torch::Tensor matrix;  // [3, 3] double
    torch::Tensor offset;  // [3, 1] double
};

CodeMatrix rgb_from_codes(AVPixelFormat format, const ColorTag& tag) {
    const auto [kr, kb] = luma_weights(tag.matrix);
    const double kg = 1 - kr - kb;
    const Levels levels = levels_of(format, tag.range);
    const torch::Tensor unscaled =
        torch::tensor({1.0, 0.0, 2 * (1 - kr), 1.0, -2 * (1 - kb) * kb / kg,
                       -2 * (1 - kr) * kr / kg, 1.0, 2 * (1 - kb), 0.0},
                      torch::kFloat64)
            .view({3, 3});
    const torch::Tensor swing = torch::tensor(
        {levels.luma_swing, levels.chroma_swing, levels.chroma_swing}, torch::kFloat64);
    return {.matrix = unscaled / swing,
            .offset = torch::tensor({levels.black, levels.centre, levels.centre}, torch::kFloat64)
                          .view({3, 1})};
}

ChromaStep chroma_step(AVPixelFormat format) {
    const AVPixFmtDescriptor& layout = describe(format);
    return {.log2_width = layout.log2_chroma_w, .log2_height = layout.log2_chroma_h};
}

/// The picture as the row functions see it; none where they do not treat its layout.
std::optional<YuvPicture> rows_of(const AVFrame& frame, const CodeMatrix& decode,
                                  ChromaLocation siting) {
    const AVPixelFormat format = format_of(frame);
    const ChromaStep step = chroma_step(format);
    if (!has_plain_planes(format) || !has_row_path(step, siting))
        return std::nullopt;
    YuvPicture picture;
    picture.step = step;
    picture.siting = siting;
    picture.peak = static_cast<float>(peak(format));
    const torch::Tensor inverse = torch::linalg_inv(decode.matrix);
    for (int i = 0; i < 3; ++i) {
        const int shift_x = i == 0 ? 0 : step.log2_width;
        const int shift_y = i == 0 ? 0 : step.log2_height;
        picture.planes[i] = {.data = frame.data[i],
                             .stride_bytes = frame.linesize[i],
                             .width = AV_CEIL_RSHIFT(frame.width, shift_x),
                             .height = AV_CEIL_RSHIFT(frame.height, shift_y),
                             .wide = format_depth(format) > 8};
        picture.offset[i] = decode.offset[i][0].item<float>();
        for (int j = 0; j < 3; ++j) {
            picture.matrix[i][j] = decode.matrix[i][j].item<float>();
            picture.inverse[i][j] = inverse[i][j].item<float>();
        }
    }
    return picture;
}

torch::Tensor from_yuv(const AVFrame& frame) {
    const AVPixelFormat format = format_of(frame);
    const ColorTag tag = resolved(frame_color(frame), frame.width, frame.height);
    const CodeMatrix decode = rgb_from_codes(format, tag);
    if (const auto rows = rows_of(frame, decode, tag.chroma)) {
        const bool veiled = has_alpha_plane(format);
        torch::Tensor picture = torch::empty({veiled ? 4 : 3, frame.height, frame.width});
        rgb_from_planes(*rows, picture.data_ptr<float>());
        if (veiled)
            picture[3].copy_(codes_of(frame, 3)).div_(peak(format));
        return picture;
    }
    torch::Tensor codes = torch::empty({3, frame.height, frame.width});
    codes[0].copy_(component_view(frame, 0).scalar_type() == torch::kUInt8
                       ? component_view(frame, 0)
                       : codes_of(frame, 0));
    const torch::Tensor chroma =
        torch::stack({codes_of(frame, 1), codes_of(frame, 2)});  // [2, h', w']
    codes.narrow(0, 1, 2).copy_(
        upsample_chroma(chroma, chroma_step(format), tag.chroma, frame.height, frame.width));
    const bool alpha = has_alpha_plane(format);
    torch::Tensor pixels = torch::empty({alpha ? 4 : 3, frame.height, frame.width});
    torch::Tensor rgb = pixels.narrow(0, 0, 3).view({3, -1});
    const torch::Tensor bias = -decode.matrix.mm(decode.offset);  // [3, 1]
    torch::addmm_out(rgb, bias.to(torch::kFloat32), decode.matrix.to(torch::kFloat32),
                     codes.view({3, -1}));
    if (alpha)
        pixels[3].copy_(codes_of(frame, 3)).div_(peak(format));
    return pixels;
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

ColorTag frame_color(const AVFrame& frame) {
    const AVPixelFormat format = format_of(frame);
    ColorTag tag{.matrix = frame.colorspace,
                 .primaries = frame.color_primaries,
                 .transfer = frame.color_trc,
                 .range = static_cast<ColorRange>(frame.color_range),
                 .chroma = static_cast<ChromaLocation>(frame.chroma_location)};
    if (is_full_range_format(format) || is_rgb_format(format) ||
        (is_gray(format) && tag.range == ColorRange::unspecified))
        tag.range = ColorRange::full;
    return tag;
}

/// The picture in a format with whole components: itself, or converted by swscale at full chroma
/// size.
const AVFrame& PictureDecoder::unpacked(const AVFrame& frame) {
    const AVPixelFormat format = format_of(frame);
    if (has_whole_components(format))
        return frame;
    const AVPixelFormat target = whole_format(format);
    if (scaler_ == nullptr || width_ != frame.width || height_ != frame.height ||
        format_ != format) {
        scaler_.reset(
            sws_getContext(frame.width, frame.height, format, frame.width, frame.height, target,
                           SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP | SWS_BITEXACT,
                           nullptr, nullptr, nullptr));
        if (scaler_ == nullptr)
            throw Error("", c10::str("pixel format '", describe(format).name, "' is not supported"),
                        "convert the clip to yuv420p or rgb24 first");
        unpacked_ = make_picture(target, frame.width, frame.height);
        width_ = frame.width;
        height_ = frame.height;
        format_ = format;
    }
    const int rows = sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height,
                               unpacked_->data, unpacked_->linesize);
    TORCH_CHECK(rows == frame.height, "swscale converted ", rows, " of ", frame.height, " rows");
    const ColorTag tag = frame_color(frame);
    unpacked_->colorspace = frame.colorspace;
    unpacked_->color_range = static_cast<AVColorRange>(tag.range);
    return *unpacked_;
}

torch::Tensor PictureDecoder::decode(const AVFrame& frame) {
    if (format_of(frame) == AV_PIX_FMT_PAL8)
        return from_palette(frame);
    const AVFrame& whole = unpacked(frame);
    if (is_rgb_format(format_of(whole)))
        return from_rgb(whole);
    return is_gray(format_of(whole)) ? from_gray(whole) : from_yuv(whole);
}

PictureEncoder::PictureEncoder(AVPixelFormat format, int64_t width, int64_t height, ColorTag color)
    : format_(format), width_(width), height_(height), color_(color) {
    TORCH_CHECK(can_encode(format), "cannot encode ", describe(format).name);
    if (!is_rgb_format(format))
        static_cast<void>(luma_weights(color.matrix));
}

FrameHandle PictureEncoder::encode(const torch::Tensor& pixels) const {
    TORCH_CHECK(pixels.dim() == 3 && (pixels.size(0) == 3 || pixels.size(0) == 4) &&
                    pixels.size(1) == height_ && pixels.size(2) == width_,
                "a picture of [3|4, ", height_, ", ", width_, "] is needed, got ", pixels.sizes());
    FrameHandle frame = make_picture(format_, width_, height_);
    frame->colorspace = static_cast<AVColorSpace>(color_.matrix);
    frame->color_primaries = static_cast<AVColorPrimaries>(color_.primaries);
    frame->color_trc = static_cast<AVColorTransferCharacteristic>(color_.transfer);
    frame->color_range = static_cast<AVColorRange>(color_.range);
    frame->chroma_location = static_cast<AVChromaLocation>(color_.chroma);
    const torch::Tensor source = pixels.to(torch::kCPU, torch::kFloat32);
    if (is_rgb_format(format_))
        encode_rgb(source.nan_to_num(0.0), *frame);
    else
        encode_yuv(source, *frame);
    if (has_alpha_plane(format_)) {
        const torch::Tensor alpha =
            source.size(0) == 4 ? source[3].nan_to_num(0.0) : torch::ones({height_, width_});
        store_codes(*frame, 3, alpha.mul(peak(format_)));
    }
    return frame;
}

void PictureEncoder::encode_rgb(const torch::Tensor& rgb, AVFrame& frame) const {
    for (int c = 0; c < 3; ++c) store_codes(frame, c, rgb[c].mul(peak(format_)));
}

void PictureEncoder::encode_yuv(const torch::Tensor& rgb, AVFrame& frame) const {
    const CodeMatrix decode = rgb_from_codes(format_, color_);
    if (const auto rows = rows_of(frame, decode, color_.chroma)) {
        planes_from_rgb(rgb.contiguous().data_ptr<float>(), *rows);
        return;
    }
    const torch::Tensor matrix = torch::linalg_inv(decode.matrix).to(torch::kFloat32);  // [3, 3]
    const torch::Tensor flat =
        rgb.narrow(0, 0, 3).nan_to_num(0.0, 1.0, 0.0).contiguous().view({3, -1});
    const torch::Tensor codes =
        torch::addmm(decode.offset.to(torch::kFloat32), matrix, flat).view({3, height_, width_});
    store_codes(frame, 0, codes[0]);
    const torch::Tensor chroma = downsample_chroma(codes.narrow(0, 1, 2), chroma_step(format_),
                                                   color_.chroma);  // [2, h', w']
    store_codes(frame, 1, chroma[0]);
    store_codes(frame, 2, chroma[1]);
}

}  // namespace weft
