// Feeds arbitrary bytes to the check of colour tables: every input is refused with a reason or
// passes. The first byte chooses the kind. Run: fuzz_lut CORPUS_FOLDER -max_total_time=1200
// -only_ascii=1
#include <array>
#include <cstdlib>

#include "io/media/lut_check.h"

// libFuzzer gives the name.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const std::array<std::string, 5> endings = {"cube", "spi1d", "spi3d", "spimtx", "clf"};
    if (size == 0)
        return -1;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    const std::string first = weft::lut_problem(text, endings.at(data[0] % endings.size()));
    if (first.find('\n') != std::string::npos)
        std::abort();  // reasons are one line
    return 0;
}
