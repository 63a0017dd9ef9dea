#pragma once

#include <cstdint>

namespace weft {

/// One head of one frame, for the kernels of kernels_avx512.cpp and kernels_avx2.cpp: plain
/// numbers, so that they need no header of a library. Rows of tokens, `width` numbers each.
struct FlashHead {
    const float* q = nullptr;  // [queries, width]
    const float* k = nullptr;  // [keys, width]
    const float* v = nullptr;  // [keys, width]
    float* out = nullptr;      // [queries, width]
    int64_t q_row = 0;         // numbers from one row to the next
    int64_t k_row = 0;
    int64_t v_row = 0;
    int64_t out_row = 0;
    int64_t queries = 0;
    int64_t keys = 0;  // at least 1
    int64_t width = 0;
    float scale = 1;  // of the scores
};

/// Queries that share a pass over the keys, and keys that are seen at a time.
constexpr int64_t flash_queries = 192;
constexpr int64_t flash_keys = 64;

/// Numbers of scratch that a pass needs.
constexpr int64_t flash_scratch(int64_t width) {
    constexpr int64_t widest_tile = 48;
    return flash_keys * (2 * width + widest_tile) + flash_queries * (2 * width + 2);
}

/// Attends from queries [first, first + flash_queries) of a head, as many as there are. Processors
/// without the vector unit of the name cannot run it.
void flash_avx512(const FlashHead& head, int64_t first, float* scratch);
void flash_avx2(const FlashHead& head, int64_t first, float* scratch);

}  // namespace weft
