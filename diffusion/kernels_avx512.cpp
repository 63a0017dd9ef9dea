#if defined(__x86_64__)

#include <immintrin.h>

#include "diffusion/flash_kernel.h"
#include "diffusion/winograd_kernel.h"

namespace weft {
namespace {

struct Avx512 {
    using Vector = __m512;
    static constexpr int64_t size = 16;
    static constexpr int rows = 8;  // with three columns, 24 of 32 registers

    static Vector all(float x) { return _mm512_set1_ps(x); }

    static Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }

    static Vector max(Vector a, Vector b) { return _mm512_max_ps(a, b); }

    static Vector rounded(Vector x) { return _mm512_roundscale_ps(x, 8); }

    static Vector times_power_of_two(Vector x, Vector n) { return _mm512_scalef_ps(x, n); }
};

}  // namespace

void flash_avx512(const FlashHead& head, int64_t first, float* scratch) {
    flash<Avx512>(head, first, scratch);
}

void winograd_spread_avx512(const WinogradConv& conv, const WinogradTiles& tiles, int64_t begin,
                            int64_t end) {
    winograd_spread<Avx512>(conv, tiles, begin, end);
}

void winograd_gather_avx512(const WinogradConv& conv, const WinogradTiles& tiles,
                            const WinogradPart& part, float* scratch) {
    winograd_gather<Avx512>(conv, tiles, part, scratch);
}

}  // namespace weft

#endif
