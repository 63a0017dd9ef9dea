#pragma once

#include <cstdint>

namespace weft {

// Note [Winograd]
// A 3x3 convolution takes 36 products for every 4x4 tile of its result instead of 144 (Lavin and
// Gray, arXiv 1509.09308, F(4x4, 3x3)): Y = A^T [(G g G^T) . (B^T d B)] A, where d is the 6x6
// pixels under the tile, g the weight, and the product in the middle one number each, so that over
// channels it is 36 products of matrices. The polynomials are taken at 0, +-1/sqrt(2), +-sqrt(2)
// and infinity, where f32 loses little: over 512 channels of random numbers the largest error was
// 1.7 times that of adding up the plain products; at the customary 0, +-1, +-2 it was 7 times.
//
// The weight is kept as it came, 9 numbers, and transformed anew for every block of tiles, some
// input channels at a time, while the results are still in the cache: a weight of 36 numbers would
// take four times the memory and four times as long to read.

constexpr int64_t winograd_tile = 4;  // pixels of the result along a side
constexpr int64_t winograd_seen = 6;  // pixels under a tile along a side
constexpr int64_t winograd_points = winograd_seen * winograd_seen;
constexpr int64_t winograd_taps = 9;  // 3 x 3
/// Channels of the result come in groups of this many.
constexpr int64_t winograd_group = 16;

/// One convolution of channels-last maps, for the kernels of kernels_avx512.cpp and
/// kernels_avx2.cpp: plain numbers, so that they need no header of a library.
struct WinogradConv {
    const float* x = nullptr;  // [frames, height, width, in]
    int64_t height = 0;
    int64_t width = 0;
    int64_t in = 0;     // a multiple of winograd_group
    int64_t above = 0;  // rows of zeros above and below
    int64_t left = 0;   // columns of zeros to the left and to the right

    int64_t depth = 0;  // input channels that are multiplied at a time; the last ones may be fewer

    const float* weight = nullptr;  // [channels / group, in, taps, group]
    const float* bias = nullptr;    // [channels], or null
    const float* added = nullptr;   // the result's shape, or null; may be `out` itself
    float* out = nullptr;           // [frames, out_height, out_width, channels]
    int64_t out_height = 0;
    int64_t out_width = 0;
    int64_t channels = 0;   // a multiple of winograd_group
    int64_t tile_rows = 0;  // that cover a frame of the result, the last ones in part
    int64_t tile_columns = 0;
};

/// Tiles [first, first + count) of all frames', row by row, and the transformed pixels under them.
struct WinogradTiles {
    int64_t first = 0;
    int64_t count = 0;
    float* spread = nullptr;  // [in / depth, points, stride]; of a point [count, depth]
    int64_t stride = 0;
};

/// A part of the result: of WinogradTiles the tiles, and of the channels the groups, [first, last).
struct WinogradPart {
    int64_t first_tile = 0;
    int64_t last_tile = 0;
    int64_t first_group = 0;
    int64_t last_group = 0;
};

/// Tiles that are multiplied at a time.
constexpr int64_t winograd_block = 64;
/// Tiles come in a multiple of this; those beyond the last are of zeros.
constexpr int64_t winograd_rows = 8;

/// Numbers of scratch that gathering takes.
constexpr int64_t winograd_scratch(int64_t depth) {
    constexpr int64_t columns = 3 * winograd_group;
    return winograd_points * (winograd_block + winograd_rows + 1 + depth + 1) * columns;
}

/// tiles.spread = B^T d B for tiles [begin, end) of them.
void winograd_spread_avx512(const WinogradConv& conv, const WinogradTiles& tiles, int64_t begin,
                            int64_t end);
void winograd_spread_avx2(const WinogradConv& conv, const WinogradTiles& tiles, int64_t begin,
                          int64_t end);

/// A part of conv.out.
void winograd_gather_avx512(const WinogradConv& conv, const WinogradTiles& tiles,
                            const WinogradPart& part, float* scratch);
void winograd_gather_avx2(const WinogradConv& conv, const WinogradTiles& tiles,
                          const WinogradPart& part, float* scratch);

}  // namespace weft
