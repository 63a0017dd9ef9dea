#pragma once

#include <cstdint>

namespace weft {

// Distances between patches of bytes, the innermost loops of edge_flow.cpp and patch_fill.cpp. They
// are whole numbers, so the vector unit's answers are the plain code's.

/// A patch of 5x5 pixels of 4 bytes, of which the last is 0: rows of 8 pixels, the last 3 of which
/// count nothing but can be read.
struct SpreadPatch {
    static constexpr int64_t side = 5;
    static constexpr int64_t read = 8;  // pixels of a row

    const uint8_t* first = nullptr;
    int64_t row = 0;  // bytes from one row to the next
};

/// A patch of 5x5 pixels of 6 bytes: rows of 30 bytes, after which 2 more can be read.
struct PairPatch {
    static constexpr int64_t side = 5;
    static constexpr int64_t channels = 6;
    static constexpr int64_t read = 32;  // bytes of a row

    const uint8_t* first = nullptr;
    int64_t row = 0;
};

/// The loops in the form that suits a processor.
struct PatchDistance {
    /// Sums of the absolute differences of the channels to one colour, 0 to 765: out[5 * 8].
    void (*to_colour)(const SpreadPatch& patch, const uint8_t* colour, int32_t* out);

    /// sum_i weights[i] min(most, difference_i) over two patches' pixels, the differences as above.
    /// @param weights [5 * 8] in [0, 32767], 0 where nothing counts
    int32_t (*weighted)(const SpreadPatch& a, const SpreadPatch& b, const int32_t* weights,
                        int32_t most);

    /// sum_i weights[i] (a_i - b_i)^2 over two patches' bytes.
    /// @param weights [32] of a row, in [0, 128], 0 for the last 2
    int32_t (*squared)(const PairPatch& a, const PairPatch& b, const int16_t* weights);
};

/// In plain C++.
const PatchDistance& plain_patch_distance();

/// What this processor runs best.
const PatchDistance& patch_distance();

}  // namespace weft
