#include "io/media/libav.h"

#include <catch2/catch.hpp>
#include <cstring>

namespace weft {
namespace {

// A number that a file claims, as libav's readers copy it.
template <typename Enum>
void claim(Enum& field, int value) {
    std::memcpy(&field, &value, sizeof value);
}

}  // namespace

TEST_CASE("colour tags that no standard has count as unspecified") {
    const int value = GENERATE(-1, 24, 255);
    AVCodecParameters parameters{};
    claim(parameters.field_order, value);
    claim(parameters.color_space, value);
    claim(parameters.color_primaries, value);
    claim(parameters.color_trc, value);
    claim(parameters.color_range, value);
    claim(parameters.chroma_location, value);
    forget_unknown_values(parameters);
    CHECK(parameters.field_order == AV_FIELD_UNKNOWN);
    CHECK(parameters.color_space == AVCOL_SPC_UNSPECIFIED);
    CHECK(parameters.color_primaries == AVCOL_PRI_UNSPECIFIED);
    CHECK(parameters.color_trc == AVCOL_TRC_UNSPECIFIED);
    CHECK(parameters.color_range == AVCOL_RANGE_UNSPECIFIED);
    CHECK(parameters.chroma_location == AVCHROMA_LOC_UNSPECIFIED);

    const FrameHandle frame = make_frame();
    claim(frame->colorspace, value);
    claim(frame->color_primaries, value);
    claim(frame->color_trc, value);
    claim(frame->color_range, value);
    claim(frame->chroma_location, value);
    forget_unknown_values(*frame);
    CHECK(frame->colorspace == AVCOL_SPC_UNSPECIFIED);
    CHECK(frame->color_primaries == AVCOL_PRI_UNSPECIFIED);
    CHECK(frame->color_trc == AVCOL_TRC_UNSPECIFIED);
    CHECK(frame->color_range == AVCOL_RANGE_UNSPECIFIED);
    CHECK(frame->chroma_location == AVCHROMA_LOC_UNSPECIFIED);
}

TEST_CASE("colour tags that a standard has stay") {
    AVCodecParameters parameters{};
    parameters.field_order = AV_FIELD_BT;
    parameters.color_space = AVCOL_SPC_ICTCP;
    parameters.color_primaries = AVCOL_PRI_EBU3213;
    parameters.color_trc = AVCOL_TRC_ARIB_STD_B67;
    parameters.color_range = AVCOL_RANGE_JPEG;
    parameters.chroma_location = AVCHROMA_LOC_BOTTOM;
    forget_unknown_values(parameters);
    CHECK(parameters.field_order == AV_FIELD_BT);
    CHECK(parameters.color_space == AVCOL_SPC_ICTCP);
    CHECK(parameters.color_primaries == AVCOL_PRI_EBU3213);
    CHECK(parameters.color_trc == AVCOL_TRC_ARIB_STD_B67);
    CHECK(parameters.color_range == AVCOL_RANGE_JPEG);
    CHECK(parameters.chroma_location == AVCHROMA_LOC_BOTTOM);
}

}  // namespace weft
