#pragma once

// Attention for one kind of vector unit (Note [Vector units]).

#include "diffusion/flash.h"
#include "diffusion/vector_product.h"

namespace weft {
namespace {

// Note [Flash attention]
// softmax(scale q k^T) v without ever holding a whole row of scores (Dao et al., arXiv 2205.14135;
// the running maximum and sum are Milakov and Gimelshein's, arXiv 1805.02867). All is transposed:
// vectors run over queries. So the maxima and sums of the scores need no step across a vector, keys
// and values are read a number at a time as they lie, and any head width fills the vectors. Queries
// come in tiles of up to three vectors; four tiles share each block of keys, which is copied
// together first. log2(e) is part of the scale, so that weights are powers of two.

// 2^x for x <= 0, to 1e-7; 0 far below.
template <typename Unit>
inline typename Unit::Vector power_of_two(typename Unit::Vector x) {
    const auto whole = Unit::rounded(x);
    const auto r = x - whole;
    auto p = Unit::all(1.33998989e-3F);
    p = Unit::fma(p, r, Unit::all(9.61848907e-3F));
    p = Unit::fma(p, r, Unit::all(5.55032864e-2F));
    p = Unit::fma(p, r, Unit::all(2.40226462e-1F));
    p = Unit::fma(p, r, Unit::all(6.93147182e-1F));
    p = Unit::fma(p, r, Unit::all(1.0F));
    return Unit::times_power_of_two(p, whole);
}

// One tile of queries as columns of `vectors` vectors.
template <typename Unit, int vectors>
struct Tile {
    static constexpr int64_t columns = vectors * Unit::size;
    using Vector = typename Unit::Vector;

    float* q;         // [width, columns], scaled
    float* out;       // [width, columns]
    float* greatest;  // [columns]: the running maximum of the scores
    float* sum;       // [columns]: the running sum of the weights

    // scores [rows, columns] of `rows` keys; their maximum joins `top`.
    template <int rows>
    void score(const float* keys, int64_t width, float* scores, Vector* top) const {
        Sums<Unit, rows, vectors> sums;
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) sums.at[r][v] = Unit::all(0.0F);
        }
        multiply(sums, {keys, width, 1}, q, width);
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) {
                top[v] = Unit::max(top[v], sums.at[r][v]);
                store<Unit>(scores + (r * vectors + v) * Unit::size, sums.at[r][v]);
            }
        }
    }

    // Scores become weights relative to the new maximum; what was summed before shrinks to it.
    void weigh(float* scores, int64_t keys, const Vector* top, int64_t width) const {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
            float* const column = scores + v * Unit::size;
            const Vector before = load<Unit>(greatest + v * Unit::size);
            const Vector now = Unit::max(before, top[v]);
            const Vector shrink = power_of_two<Unit>(before - now);
            Vector total = load<Unit>(sum + v * Unit::size) * shrink;
            for (int64_t key = 0; key < keys; ++key) {
                float* const at = column + key * columns;
                const Vector weight = power_of_two<Unit>(load<Unit>(at) - now);
                total = total + weight;
                store<Unit>(at, weight);
            }
            store<Unit>(greatest + v * Unit::size, now);
            store<Unit>(sum + v * Unit::size, total);
            for (int64_t i = 0; i < width; ++i) {
                float* const at = out + i * columns + v * Unit::size;
                store<Unit>(at, load<Unit>(at) * shrink);
            }
        }
    }

    // out += values^T weights for `rows` numbers of each value.
    template <int rows>
    void gather(const float* values, int64_t width, const float* weights, int64_t keys,
                float* target) const {
        Sums<Unit, rows, vectors> sums;
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) {
                sums.at[r][v] = load<Unit>(target + (r * vectors + v) * Unit::size);
            }
        }
        multiply(sums, {values, 1, width}, weights, keys);
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) {
                store<Unit>(target + (r * vectors + v) * Unit::size, sums.at[r][v]);
            }
        }
    }

    // One block of keys and values, each [keys, width].
    void see(const float* k, const float* v, int64_t keys, int64_t width, float* scores) const {
        Vector top[vectors];  // NOLINT(modernize-avoid-c-arrays)
        for (int i = 0; i < vectors; ++i) top[i] = Unit::all(-3e38F);
        int64_t key = 0;
        for (; key + Unit::rows <= keys; key += Unit::rows) {
            score<Unit::rows>(k + key * width, width, scores + key * columns, top);
        }
        for (; key < keys; ++key) {
            score<1>(k + key * width, width, scores + key * columns, top);
        }
        weigh(scores, keys, top, width);
        int64_t i = 0;
        for (; i + Unit::rows <= width; i += Unit::rows) {
            gather<Unit::rows>(v + i, width, scores, keys, out + i * columns);
        }
        for (; i < width; ++i) {
            gather<1>(v + i, width, scores, keys, out + i * columns);
        }
    }

    // The head's queries [first, first + count) become columns; the rest are zeros.
    void begin(const FlashHead& head, int64_t first, int64_t count) const {
        constexpr float log2_e = 1.44269504F;
        for (int64_t c = 0; c < columns; ++c) {
            const float* const from = head.q + (first + c) * head.q_row;
            for (int64_t i = 0; i < head.width; ++i) {
                q[i * columns + c] = c < count ? from[i] * (head.scale * log2_e) : 0.0F;
                out[i * columns + c] = 0.0F;
            }
            greatest[c] = -3e38F;
            sum[c] = 0.0F;
        }
    }

    void end(const FlashHead& head, int64_t first, int64_t count) const {
        for (int64_t c = 0; c < count; ++c) {
            const float share = 1.0F / sum[c];
            float* const to = head.out + (first + c) * head.out_row;
            for (int64_t i = 0; i < head.width; ++i) to[i] = out[i * columns + c] * share;
        }
    }
};

// Copies rows [first, first + count) together: [count, width].
inline void copy_rows(const float* from, int64_t row, int64_t count, int64_t width, float* to) {
    for (int64_t r = 0; r < count; ++r) {
        for (int64_t i = 0; i < width; ++i) to[r * width + i] = from[r * row + i];
    }
}

// `tiles` tiles of up to `vectors` vectors from query `first` on.
template <typename Unit, int vectors>
void pass(const FlashHead& head, int64_t first, int64_t tiles, float* scratch) {
    using Columns = Tile<Unit, vectors>;
    const int64_t width = head.width;
    float* const k = scratch;
    float* const v = k + flash_keys * width;
    float* const scores = v + flash_keys * width;
    float* const states = scores + flash_keys * Columns::columns;
    const auto tile = [&](int64_t t) {
        float* const state = states + t * Columns::columns * (2 * width + 2);
        float* const out = state + Columns::columns * width;
        float* const greatest = out + Columns::columns * width;
        return Columns{state, out, greatest, greatest + Columns::columns};
    };
    const auto count_of = [&](int64_t t) {
        const int64_t left = head.queries - first - t * Columns::columns;
        return left < Columns::columns ? left : Columns::columns;
    };
    for (int64_t t = 0; t < tiles; ++t) {
        tile(t).begin(head, first + t * Columns::columns, count_of(t));
    }
    for (int64_t key = 0; key < head.keys; key += flash_keys) {
        const int64_t keys = head.keys - key < flash_keys ? head.keys - key : flash_keys;
        copy_rows(head.k + key * head.k_row, head.k_row, keys, width, k);
        copy_rows(head.v + key * head.v_row, head.v_row, keys, width, v);
        for (int64_t t = 0; t < tiles; ++t) tile(t).see(k, v, keys, width, scores);
    }
    for (int64_t t = 0; t < tiles; ++t) {
        tile(t).end(head, first + t * Columns::columns, count_of(t));
    }
}

// Whole tiles of three vectors, then what is left in the narrowest tile that holds it.
template <typename Unit>
void flash(const FlashHead& head, int64_t first, float* scratch) {
    constexpr int64_t widest = 3 * Unit::size;
    const int64_t left = head.queries - first;
    const int64_t count = left < flash_queries ? left : flash_queries;
    const int64_t tiles = count / widest;
    if (tiles > 0) {
        pass<Unit, 3>(head, first, tiles, scratch);
    }
    const int64_t rest = count - tiles * widest;
    if (rest > 2 * Unit::size) {
        pass<Unit, 3>(head, first + tiles * widest, 1, scratch);
    } else if (rest > Unit::size) {
        pass<Unit, 2>(head, first + tiles * widest, 1, scratch);
    } else if (rest > 0) {
        pass<Unit, 1>(head, first + tiles * widest, 1, scratch);
    }
}

}  // namespace
}  // namespace weft
