#pragma once

#include <cstdint>
#include <span>

/// Raw Unicode tables, sorted by code point. Used by unicode.cpp alone.
namespace weft::unicode {

struct Range {
    uint32_t first;
    uint32_t last;
};

/// Every stride-th code point from first to last becomes code + delta in lower case.
struct LowerRun {
    uint32_t first;
    uint32_t last;
    uint32_t stride;
    int32_t delta;
};

/// Canonical combining class of a run; code points in no run have class 0.
struct ClassRun {
    uint32_t first;
    uint32_t last;
    uint32_t combining_class;
};

/// code decomposes to one other code point, and is never composed again.
struct Single {
    uint32_t code;
    uint32_t to;
};

/// code decomposes to two code points; `composes` where NFC puts them together again.
struct Pair {
    uint32_t code;
    uint32_t first;
    uint32_t second;
    uint32_t composes;
};

std::span<const Range> letters();
std::span<const Range> numbers();
std::span<const LowerRun> lower_runs();
std::span<const ClassRun> combining_classes();
std::span<const Single> singles();
std::span<const Pair> pairs();

}  // namespace weft::unicode
