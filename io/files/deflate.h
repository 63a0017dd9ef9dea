#pragma once

#include <string>
#include <string_view>

namespace weft {

/// Compresses `data` to a zlib stream (RFC 1950 around RFC 1951): greedy matches in a window of 32
/// KiB, dynamic Huffman codes. At most 2 GiB; takes about ten times the data's size in
/// memory. Thread-safe: yes.
std::string zlib_compressed(std::string_view data);

}  // namespace weft
