#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weft {

/// The data of a zlib stream (RFC 1950, 1951), decoded bit by bit with its checksum verified: slow
/// and simple, to check the compressor against. Throws std::runtime_error where the stream is
/// broken.
std::string inflated(std::string_view stream);

}  // namespace weft
