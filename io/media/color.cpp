#include "io/media/color.h"

#include "io/media/libav.h"

namespace weft {
namespace {

constexpr int unspecified = 2;

bool is_open(int code) {
    return code == unspecified || code == 0 || code == 3;
}

int guessed_primaries(int64_t width, int64_t height) {
    if (width >= 1280 || height > 576)
        return AVCOL_PRI_BT709;
    if (height == 576)
        return AVCOL_PRI_BT470BG;
    if (height == 480 || height == 486 || height == 488)
        return AVCOL_PRI_SMPTE170M;
    return AVCOL_PRI_BT709;
}

std::string name_or_number(const char* name, int code) {
    return name != nullptr ? std::string(name) : std::to_string(code);
}

}  // namespace

ColorTag resolved(const ColorTag& tag, int64_t width, int64_t height) {
    const bool high_definition = width >= 1280 || height > 576;
    ColorTag result = tag;
    if (is_open(tag.matrix))
        result.matrix = high_definition ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    if (is_open(tag.primaries))
        result.primaries = guessed_primaries(width, height);
    if (is_open(tag.transfer))
        result.transfer = AVCOL_TRC_BT709;
    if (tag.range == ColorRange::unspecified)
        result.range = ColorRange::limited;
    if (tag.chroma == ChromaLocation::unspecified)
        result.chroma = ChromaLocation::left;
    return result;
}

bool is_hdr(const ColorTag& tag) {
    return tag.transfer == AVCOL_TRC_SMPTE2084 || tag.transfer == AVCOL_TRC_ARIB_STD_B67;
}

std::string matrix_name(int matrix) {
    return name_or_number(av_color_space_name(static_cast<AVColorSpace>(matrix)), matrix);
}

std::string primaries_name(int primaries) {
    return name_or_number(av_color_primaries_name(static_cast<AVColorPrimaries>(primaries)),
                          primaries);
}

std::string transfer_name(int transfer) {
    return name_or_number(
        av_color_transfer_name(static_cast<AVColorTransferCharacteristic>(transfer)), transfer);
}

std::string range_name(ColorRange range) {
    const int code = static_cast<int>(range);
    return name_or_number(av_color_range_name(static_cast<AVColorRange>(code)), code);
}

std::string chroma_name(ChromaLocation chroma) {
    const int code = static_cast<int>(chroma);
    return name_or_number(av_chroma_location_name(static_cast<AVChromaLocation>(code)), code);
}

std::string to_string(const ColorTag& tag) {
    return matrix_name(tag.matrix) + " / " + primaries_name(tag.primaries) + " / " +
           transfer_name(tag.transfer) + " / " + range_name(tag.range) + " / " +
           chroma_name(tag.chroma);
}

}  // namespace weft
