// Feeds arbitrary names to the image sequence border: a pattern's own file names lead back to their
// numbers, and no other name is taken for one of them. Input: a pattern and, after a zero byte, a
// name. Run: fuzz_sequence CORPUS_FOLDER -max_total_time=1200
#include <cstdlib>

#include "io/media/location.h"
#include "io/media/time.h"

namespace {

void require(bool holds) {
    if (!holds)
        std::abort();
}

}  // namespace

// libFuzzer gives the name.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const size_t end = text.find('\0');
    const std::string name = end == std::string::npos ? std::string() : text.substr(end + 1);
    static_cast<void>(weft::parse_rate(name));
    const auto pattern = weft::SequencePattern::parse(text.substr(0, end));
    if (!pattern)
        return 0;
    for (const int64_t number : {int64_t{0}, int64_t{7}, int64_t{1001}, int64_t{123'456'789}})
        require(pattern->number_of(pattern->file(number).filename().string()) == number);
    if (const auto number = pattern->number_of(name))
        require(pattern->file(*number).filename() == name);
    return 0;
}
