#pragma once

// Winograd's convolution for one kind of vector unit (Note [Vector units]); vectors run over
// channels.

#include "diffusion/vector_product.h"
#include "diffusion/winograd.h"

namespace weft {
namespace {

// B^T d along one axis: six numbers in place, `step` vectors apart.
template <typename Unit>
inline void spread_six(typename Unit::Vector* d, int64_t step) {
    const auto half = Unit::all(0.5F);
    const auto two = Unit::all(2.0F);
    const auto middle = Unit::all(-2.5F);
    const auto near = Unit::all(0.707106781F);
    const auto far = Unit::all(1.41421356F);
    const auto d1 = d[step];
    const auto d2 = d[2 * step];
    const auto d3 = d[3 * step];
    const auto d4 = d[4 * step];
    const auto even_near = d4 - two * d2;
    const auto odd_near = near * (d3 - two * d1);
    const auto even_far = d4 - half * d2;
    const auto odd_far = far * (d3 - half * d1);
    d[0] = Unit::fma(middle, d2, d[0] + d4);
    d[5 * step] = Unit::fma(middle, d3, d1 + d[5 * step]);
    d[step] = even_near + odd_near;
    d[2 * step] = even_near - odd_near;
    d[3 * step] = even_far + odd_far;
    d[4 * step] = even_far - odd_far;
}

// A^T m along one axis: four numbers out of six that are `step` vectors apart.
template <typename Unit>
inline void gather_four(const typename Unit::Vector* m, int64_t step, typename Unit::Vector* y,
                        int64_t y_step) {
    const auto half = Unit::all(0.5F);
    const auto two = Unit::all(2.0F);
    const auto near = Unit::all(0.707106781F);
    const auto near_cubed = Unit::all(0.353553391F);
    const auto far = Unit::all(1.41421356F);
    const auto far_cubed = Unit::all(2.82842712F);
    const auto near_sum = m[step] + m[2 * step];
    const auto near_apart = m[step] - m[2 * step];
    const auto far_sum = m[3 * step] + m[4 * step];
    const auto far_apart = m[3 * step] - m[4 * step];
    y[0] = m[0] + near_sum + far_sum;
    y[y_step] = Unit::fma(near, near_apart, far * far_apart);
    y[2 * y_step] = Unit::fma(half, near_sum, two * far_sum);
    y[3 * y_step] = Unit::fma(near_cubed, near_apart, Unit::fma(far_cubed, far_apart, m[5 * step]));
}

// Where a tile lies: its first pixel of the result, and its frame.
struct TilePlace {
    int64_t frame;
    int64_t y;
    int64_t x;
};

inline TilePlace place_of(const WinogradConv& conv, int64_t tile) {
    const int64_t row = tile / conv.tile_columns;
    return {row / conv.tile_rows, row % conv.tile_rows * winograd_tile,
            tile % conv.tile_columns * winograd_tile};
}

// Input channels that are multiplied at a time.
struct Slice {
    int64_t in;     // the first
    int64_t depth;  // how many
};

inline Slice slice_at(const WinogradConv& conv, int64_t in) {
    const int64_t first = in / conv.depth * conv.depth;
    const int64_t left = conv.in - first;
    return {first, left < conv.depth ? left : conv.depth};
}

// The first point of a tile.
inline float* spread_at(const WinogradConv& conv, const WinogradTiles& tiles, const Slice& slice,
                        int64_t tile) {
    return tiles.spread + slice.in / conv.depth * winograd_points * tiles.stride +
           tile * slice.depth;
}

// The last tiles bring those of zeros along.
template <typename Unit>
void winograd_spread(const WinogradConv& conv, const WinogradTiles& tiles, int64_t begin,
                     int64_t end) {
    using Vector = typename Unit::Vector;
    const int64_t rounded = (end + winograd_rows - 1) / winograd_rows * winograd_rows;
    const int64_t last = end == tiles.count ? rounded : end;
    for (int64_t t = begin; t < last; ++t) {
        const TilePlace place = place_of(conv, tiles.first + t);
        const float* const frame = conv.x + place.frame * conv.height * conv.width * conv.in;
        const float* pixels[winograd_points];  // NOLINT(modernize-avoid-c-arrays)
        for (int64_t i = 0; i < winograd_points; ++i) {
            const int64_t y = place.y - conv.above + i / winograd_seen;
            const int64_t x = place.x - conv.left + i % winograd_seen;
            const bool inside =
                y >= 0 && y < conv.height && x >= 0 && x < conv.width && t < tiles.count;
            pixels[i] = inside ? frame + (y * conv.width + x) * conv.in : nullptr;
        }
        for (int64_t c = 0; c < conv.in; c += Unit::size) {
            const Slice slice = slice_at(conv, c);
            float* const to = spread_at(conv, tiles, slice, t) + c - slice.in;
            Vector d[winograd_points];  // NOLINT(modernize-avoid-c-arrays)
#pragma GCC unroll 36
            for (int64_t i = 0; i < winograd_points; ++i) {
                d[i] = pixels[i] != nullptr ? load<Unit>(pixels[i] + c) : Unit::all(0.0F);
            }
#pragma GCC unroll 6
            for (int64_t i = 0; i < winograd_seen; ++i) spread_six<Unit>(d + i, winograd_seen);
#pragma GCC unroll 6
            for (int64_t i = 0; i < winograd_seen; ++i) {
                Vector* const row = d + i * winograd_seen;
                spread_six<Unit>(row, 1);
#pragma GCC unroll 6
                for (int64_t j = 0; j < winograd_seen; ++j) {
                    store<Unit>(to + (i * winograd_seen + j) * tiles.stride, row[j]);
                }
            }
        }
    }
}

// G g along one axis: six numbers of three that are `step` vectors apart.
template <typename Unit>
inline void weigh_three(const typename Unit::Vector* g, int64_t step, typename Unit::Vector* out,
                        int64_t out_step) {
    // 1 / prod (p - q) over the other points: 1 at 0, -2/3 at +-1/sqrt(2), 1/6 at +-sqrt(2).
    const auto g0 = g[0];
    const auto g1 = g[step];
    const auto g2 = g[2 * step];
    const auto near = Unit::fma(Unit::all(-1.0F / 3), g2, Unit::all(-2.0F / 3) * g0);
    const auto near_odd = Unit::all(-0.471404521F) * g1;
    const auto far = Unit::fma(Unit::all(1.0F / 3), g2, Unit::all(1.0F / 6) * g0);
    const auto far_odd = Unit::all(0.235702260F) * g1;
    out[0] = g0;
    out[out_step] = near + near_odd;
    out[2 * out_step] = near - near_odd;
    out[3 * out_step] = far + far_odd;
    out[4 * out_step] = far - far_odd;
    out[5 * out_step] = g2;
}

// Numbers from one point's weight to the next: a vector more than there are, so that the points do
// not share sets of the cache.
template <typename Unit, int vectors>
inline int64_t weight_stride(const WinogradConv& conv) {
    return (conv.depth * vectors + 1) * Unit::size;
}

// G g G^T of vectors of the result from `first` on -> [points, depth, columns].
template <typename Unit, int vectors>
inline void weigh(const WinogradConv& conv, const Slice& slice, int64_t first, float* out) {
    using Vector = typename Unit::Vector;
    constexpr int64_t columns = vectors * Unit::size;
    constexpr int64_t side = 3;
    const int64_t stride = weight_stride<Unit, vectors>(conv);
    for (int64_t v = 0; v < vectors; ++v) {
        const int64_t channel = first + v * Unit::size;
        const float* from =
            conv.weight + channel % winograd_group +
            (channel / winograd_group * conv.in + slice.in) * winograd_taps * winograd_group;
        float* to = out + v * Unit::size;
        for (int64_t c = 0; c < slice.depth; ++c) {
            Vector g[winograd_taps];  // NOLINT(modernize-avoid-c-arrays)
#pragma GCC unroll 9
            for (int64_t i = 0; i < winograd_taps; ++i) {
                g[i] = load<Unit>(from + i * winograd_group);
            }
            Vector half[winograd_seen * side];  // NOLINT(modernize-avoid-c-arrays)
#pragma GCC unroll 3
            for (int64_t j = 0; j < side; ++j) weigh_three<Unit>(g + j, side, half + j, side);
#pragma GCC unroll 6
            for (int64_t i = 0; i < winograd_seen; ++i) {
                Vector row[winograd_seen];  // NOLINT(modernize-avoid-c-arrays)
                weigh_three<Unit>(half + i * side, 1, row, 1);
#pragma GCC unroll 6
                for (int64_t j = 0; j < winograd_seen; ++j) {
                    store<Unit>(to + (i * winograd_seen + j) * stride, row[j]);
                }
            }
            from += winograd_taps * winograd_group;
            to += columns;
        }
    }
}

// One point's product: spread [tiles, depth] times weight [depth, columns], on top of what is there
// unless it is the first.
struct Product {
    Factors spread;
    const float* weight;
    int64_t depth;
    bool first;
};

// out [rows, columns] (+)= the product of tiles from `tile` on.
template <typename Unit, int rows, int vectors>
inline void multiply_rows(const Product& product, int64_t tile, float* out) {
    constexpr int ahead = 8;
    out += tile * vectors * Unit::size;
    Sums<Unit, rows, vectors> sums;
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
            sums.at[r][v] =
                product.first ? Unit::all(0.0F) : load<Unit>(out + (r * vectors + v) * Unit::size);
        }
    }
    const Factors& spread = product.spread;
    multiply<ahead>(sums, {spread.at + tile * spread.row, spread.row, spread.step}, product.weight,
                    product.depth);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
            store<Unit>(out + (r * vectors + v) * Unit::size, sums.at[r][v]);
        }
    }
}

// The product of `count` tiles; a rest of at most half the rows takes half of them.
template <typename Unit, int vectors>
inline void multiply_tiles(const Product& product, int64_t count, float* out) {
    constexpr int half = Unit::rows / 2;
    int64_t tile = 0;
    for (; tile + half < count; tile += Unit::rows) {
        multiply_rows<Unit, Unit::rows, vectors>(product, tile, out);
    }
    if (tile < count) {
        multiply_rows<Unit, half, vectors>(product, tile, out);
    }
}

// A^T m A of one tile in one vector of channels, with the bias and what is added, into the result.
template <typename Unit>
inline void finish_tile(const WinogradConv& conv, const TilePlace& place, const float* products,
                        int64_t stride, int64_t channel) {
    using Vector = typename Unit::Vector;
    Vector half[winograd_tile * winograd_seen];  // NOLINT(modernize-avoid-c-arrays)
#pragma GCC unroll 6
    for (int64_t j = 0; j < winograd_seen; ++j) {
        Vector m[winograd_seen];  // NOLINT(modernize-avoid-c-arrays)
#pragma GCC unroll 6
        for (int64_t i = 0; i < winograd_seen; ++i) {
            m[i] = load<Unit>(products + (i * winograd_seen + j) * stride);
        }
        gather_four<Unit>(m, 1, half + j, winograd_seen);
    }
    const Vector bias = conv.bias != nullptr ? load<Unit>(conv.bias + channel) : Unit::all(0.0F);
    const int64_t rows = conv.out_height - place.y;
    const int64_t columns = conv.out_width - place.x;
    const int64_t first =
        ((place.frame * conv.out_height + place.y) * conv.out_width + place.x) * conv.channels +
        channel;
    for (int64_t i = 0; i < winograd_tile && i < rows; ++i) {
        Vector y[winograd_tile];  // NOLINT(modernize-avoid-c-arrays)
        gather_four<Unit>(half + i * winograd_seen, 1, y, 1);
        for (int64_t j = 0; j < winograd_tile && j < columns; ++j) {
            const int64_t at = first + (i * conv.out_width + j) * conv.channels;
            const Vector sum = y[j] + bias;
            store<Unit>(conv.out + at,
                        conv.added != nullptr ? sum + load<Unit>(conv.added + at) : sum);
        }
    }
}

// Tiles [first, last), at most winograd_block, of the result from `channel` on.
struct Block {
    int64_t first;
    int64_t last;
    int64_t channel;
    bool weighed;  // a weight that is multiplied whole is in the scratch from the block before
};

template <typename Unit, int vectors>
void gather_block(const WinogradConv& conv, const WinogradTiles& tiles, const Block& block,
                  float* scratch) {
    constexpr int64_t columns = vectors * Unit::size;
    const int64_t count = block.last - block.first;
    const int64_t stride = (count + Unit::rows) * columns + Unit::size;
    float* const weight = scratch + winograd_points * (winograd_block + Unit::rows + 1) * columns;
    for (int64_t in = 0; in < conv.in; in += conv.depth) {
        const Slice slice = slice_at(conv, in);
        const float* const spread = spread_at(conv, tiles, slice, block.first);
        if (!block.weighed || slice.depth < conv.in) {
            weigh<Unit, vectors>(conv, slice, block.channel, weight);
        }
        for (int64_t p = 0; p < winograd_points; ++p) {
            multiply_tiles<Unit, vectors>({{spread + p * tiles.stride, slice.depth, 1},
                                           weight + p * weight_stride<Unit, vectors>(conv),
                                           slice.depth,
                                           in == 0},
                                          count, scratch + p * stride);
        }
    }
    for (int64_t t = 0; t < count; ++t) {
        const TilePlace place = place_of(conv, tiles.first + block.first + t);
        for (int64_t c = 0; c < columns; c += Unit::size) {
            finish_tile<Unit>(conv, place, scratch + t * columns + c, stride, block.channel + c);
        }
    }
}

template <typename Unit, int vectors>
void gather_vectors(const WinogradConv& conv, const WinogradTiles& tiles, const WinogradPart& part,
                    int64_t channel, float* scratch) {
    for (int64_t tile = part.first_tile; tile < part.last_tile; tile += winograd_block) {
        const int64_t end = tile + winograd_block;
        gather_block<Unit, vectors>(
            conv, tiles,
            {tile, end < part.last_tile ? end : part.last_tile, channel, tile > part.first_tile},
            scratch);
    }
}

// Three vectors of channels at a time; four are two and two.
template <typename Unit>
void winograd_gather(const WinogradConv& conv, const WinogradTiles& tiles, const WinogradPart& part,
                     float* scratch) {
    int64_t channel = part.first_group * winograd_group;
    const int64_t last = part.last_group * winograd_group;
    while (channel < last) {
        const int64_t vectors = (last - channel) / Unit::size;
        if (vectors == 1) {
            gather_vectors<Unit, 1>(conv, tiles, part, channel, scratch);
            channel += Unit::size;
        } else if (vectors == 2 || vectors == 4) {
            gather_vectors<Unit, 2>(conv, tiles, part, channel, scratch);
            channel += 2 * Unit::size;
        } else {
            gather_vectors<Unit, 3>(conv, tiles, part, channel, scratch);
            channel += 3 * Unit::size;
        }
    }
}

}  // namespace
}  // namespace weft
