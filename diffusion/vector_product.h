#pragma once

#include <cstdint>

namespace weft {
namespace {

// Note [Vector units]
// Kernels are templates over a `Unit`, the vector unit they run on; kernels_avx512.cpp and
// kernels_avx2.cpp alone include them, each compiled for its unit. They are free of library
// headers, so that none of their inline functions is compiled for a unit that the machine may lack.

template <typename Unit>
inline typename Unit::Vector load(const float* from) {
    typename Unit::Vector x;
    __builtin_memcpy(&x, from, sizeof x);
    return x;
}

template <typename Unit>
inline void store(float* to, typename Unit::Vector x) {
    __builtin_memcpy(to, &x, sizeof x);
}

// Rows x vectors of sums that stay in registers.
template <typename Unit, int rows, int vectors>
struct Sums {
    typename Unit::Vector at[rows][vectors];  // NOLINT(modernize-avoid-c-arrays)
};

// Numbers left[r * row + i * step].
struct Factors {
    const float* at;
    int64_t row;
    int64_t step;
};

// sums[r][.] += left(r, i) * right[i][.] for i < count; `right` has a row of
// `vectors` vectors for each i. Where it comes from beyond the first cache, rows that are
// `ahead` further on are asked for early.
template <int ahead = 0, typename Unit, int rows, int vectors>
inline void multiply(Sums<Unit, rows, vectors>& sums, const Factors& left, const float* right,
                     int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        typename Unit::Vector columns[vectors];  // NOLINT(modernize-avoid-c-arrays)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
            const float* const from = right + (i * vectors + v) * Unit::size;
            columns[v] = load<Unit>(from);
            if constexpr (ahead > 0) {
                __builtin_prefetch(from + ahead * vectors * Unit::size);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
            const auto factor = Unit::all(left.at[r * left.row + i * left.step]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) {
                sums.at[r][v] = Unit::fma(factor, columns[v], sums.at[r][v]);
            }
        }
    }
}

}  // namespace
}  // namespace weft
