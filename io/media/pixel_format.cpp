#include "io/media/pixel_format.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>

namespace weft {

const AVPixFmtDescriptor& describe(AVPixelFormat format) {
    const AVPixFmtDescriptor* description = av_pix_fmt_desc_get(format);
    TORCH_CHECK(description != nullptr, "unknown pixel format ", static_cast<int>(format));
    return *description;
}

bool has_flag(AVPixelFormat format, uint64_t flag) {
    return (describe(format).flags & flag) != 0;
}

bool is_float(AVPixelFormat format) {
    return has_flag(format, AV_PIX_FMT_FLAG_FLOAT);
}

bool is_gray(AVPixelFormat format) {
    return !is_rgb_format(format) && describe(format).nb_components <= 2;
}

bool is_rgb_format(AVPixelFormat format) {
    return has_flag(format, AV_PIX_FMT_FLAG_RGB) || format == AV_PIX_FMT_PAL8;
}

int format_depth(AVPixelFormat format) {
    const AVPixFmtDescriptor& layout = describe(format);
    int depth = 0;
    for (int i = 0; i < layout.nb_components; ++i) depth = std::max(depth, layout.comp[i].depth);
    return depth;
}

bool has_alpha_plane(AVPixelFormat format) {
    return has_flag(format, AV_PIX_FMT_FLAG_ALPHA);
}

double peak(AVPixelFormat format) {
    return is_float(format) ? 1.0 : std::exp2(format_depth(format)) - 1;
}

bool has_whole_components(AVPixelFormat format) {
    if (has_flag(format, AV_PIX_FMT_FLAG_BITSTREAM) || has_flag(format, AV_PIX_FMT_FLAG_PAL))
        return false;
    if (format == AV_PIX_FMT_XYZ12LE || format == AV_PIX_FMT_XYZ12BE)
        return false;  // neither RGB nor luma and chroma
    const AVPixFmtDescriptor& layout = describe(format);
    for (int i = 0; i < layout.nb_components; ++i) {
        const AVComponentDescriptor& part = layout.comp[i];
        const bool integer = part.depth >= 8 && part.depth + part.shift <= 16;
        const bool real = is_float(format) && part.depth == 32;
        const bool swapped = part.depth > 8 && has_flag(format, AV_PIX_FMT_FLAG_BE);
        if (!(integer || real) || (swapped && real) || part.depth != layout.comp[0].depth)
            return false;
    }
    return true;
}

bool has_plain_planes(AVPixelFormat format) {
    const AVPixFmtDescriptor& layout = describe(format);
    for (int i = 0; i < 3; ++i) {
        const AVComponentDescriptor& part = layout.comp[i];
        if (part.plane != i || part.shift != 0 || part.step != (part.depth > 8 ? 2 : 1))
            return false;
    }
    return !is_float(format) && !(format_depth(format) > 8 && has_flag(format, AV_PIX_FMT_FLAG_BE));
}

bool can_encode(AVPixelFormat format) {
    return describe(format).nb_components >= 3 && has_whole_components(format);
}

AVPixelFormat whole_format(AVPixelFormat format) {
    const bool alpha = has_alpha_plane(format);
    const bool deep = format_depth(format) > 8;
    if (format == AV_PIX_FMT_XYZ12LE || format == AV_PIX_FMT_XYZ12BE)
        return AV_PIX_FMT_RGB48;
    if (is_gray(format))
        return deep ? AV_PIX_FMT_GRAY16 : AV_PIX_FMT_GRAY8;
    if (!is_rgb_format(format))
        return alpha ? AV_PIX_FMT_YUVA444P16 : AV_PIX_FMT_YUV444P16;
    if (deep)
        return alpha ? AV_PIX_FMT_RGBA64 : AV_PIX_FMT_RGB48;
    return alpha ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24;
}

}  // namespace weft
