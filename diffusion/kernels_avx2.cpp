#if defined(__x86_64__)

#include <immintrin.h>

#include "diffusion/flash_kernel.h"
#include "diffusion/winograd_kernel.h"

namespace weft {
namespace {

struct Avx2 {
    using Vector = __m256;
    static constexpr int64_t size = 8;
    static constexpr int rows = 4;  // with three columns, 12 of 16 registers

    static Vector all(float x) { return _mm256_set1_ps(x); }

    static Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }

    static Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }

    static Vector rounded(Vector x) { return _mm256_round_ps(x, 8); }

    // Through the exponent's bits; n below -126 gives 2^-126, which no sum of weights sees.
    static Vector times_power_of_two(Vector x, Vector n) {
        const __m256i exponent = _mm256_cvtps_epi32(_mm256_max_ps(n, all(-126.0F)));
        const __m256i bits =
            _mm256_slli_epi32(_mm256_add_epi32(exponent, _mm256_set1_epi32(127)), 23);
        return _mm256_mul_ps(x, _mm256_castsi256_ps(bits));
    }
};

}  // namespace

void flash_avx2(const FlashHead& head, int64_t first, float* scratch) {
    flash<Avx2>(head, first, scratch);
}

void winograd_spread_avx2(const WinogradConv& conv, const WinogradTiles& tiles, int64_t begin,
                          int64_t end) {
    winograd_spread<Avx2>(conv, tiles, begin, end);
}

void winograd_gather_avx2(const WinogradConv& conv, const WinogradTiles& tiles,
                          const WinogradPart& part, float* scratch) {
    winograd_gather<Avx2>(conv, tiles, part, scratch);
}

}  // namespace weft

#endif
