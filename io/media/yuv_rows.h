#pragma once

// Luma and chroma planes to RGB and back, row by row, for sources of io/media only.

#include <array>
#include <cstdint>

#include "io/media/chroma.h"

namespace weft {

/// One plane of integer code values, 8 bits or 16 bits (native) a sample.
struct PlaneRows {
    void* data = nullptr;
    int64_t stride_bytes = 0;
    int64_t width = 0;
    int64_t height = 0;
    bool wide = false;  // 16 bits a sample
};

using Matrix3 = std::array<std::array<float, 3>, 3>;

/// Three planes and how they stand for RGB: rgb = matrix * (codes - offset), codes from 0 to peak.
struct YuvPicture {
    std::array<PlaneRows, 3> planes;
    Matrix3 matrix{};
    std::array<float, 3> offset{};
    Matrix3 inverse{};  // of matrix
    float peak = 255;
    ChromaStep step;
    ChromaLocation siting = ChromaLocation::left;
};

/// True where the row functions below treat a layout: 4:4:4, 4:2:2 and 4:2:0 whose chroma lies
/// between the rows. They compute what chroma.h's functions do, to float rounding.
bool has_row_path(const ChromaStep& step, ChromaLocation siting);

/// @param rgb [3, height, width] contiguous, of the luma plane's size
void rgb_from_planes(const YuvPicture& picture, float* rgb);

/// The inverse, clipped to the codes; NaN counts as 0.
void planes_from_rgb(const float* rgb, const YuvPicture& picture);

}  // namespace weft
