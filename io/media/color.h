#pragma once

#include <cstdint>
#include <string>

namespace weft {

/// Whether code values use the studio swing (16-235 in 8 bit) or the whole range.
enum class ColorRange { unspecified = 0, limited = 1, full = 2 };

/// Where a subsampled chroma sample lies inside its block of luma samples.
enum class ChromaLocation {
    unspecified = 0,
    left = 1,
    center = 2,
    top_left = 3,
    top = 4,
    bottom_left = 5,
    bottom = 6
};

/// How code values stand for colour: the code points of ITU-T H.273 (CICP) for matrix, primaries
/// and transfer (1 = BT.709, 2 = unspecified, 9 = BT.2020 ...). Numbers are kept as they were
/// found, so that tags in are tags out. Thread-safe: yes (value).
struct ColorTag {
    int matrix = 2;     // 0 RGB, 1 BT.709, 5 and 6 BT.601, 9 BT.2020 non-constant
    int primaries = 2;  // 1 BT.709, 5 BT.601 625 lines, 6 BT.601 525 lines, 9 BT.2020, 12 P3 D65
    int transfer = 2;   // 1, 6, 14, 15 camera curves; 13 sRGB; 16 PQ; 18 HLG
    ColorRange range = ColorRange::unspecified;
    ChromaLocation chroma = ChromaLocation::unspecified;

    friend bool operator==(const ColorTag&, const ColorTag&) = default;
};

/// The tag with every unspecified field filled as players do: BT.709 from 1280 wide or above 576
/// lines, otherwise BT.601 (625-line primaries at 576 lines, 525-line at 480 to 488); limited
/// range; chroma on the left. A matrix of 0 on a picture that is not RGB counts as unspecified.
ColorTag resolved(const ColorTag& tag, int64_t width, int64_t height);

/// True for the PQ and HLG transfers, whose pictures need 10 bits or more.
bool is_hdr(const ColorTag& tag);

/// Names as ffmpeg prints them: "bt709", "smpte170m", "unknown", "tv", "pc", "left" ...
std::string matrix_name(int matrix);
std::string primaries_name(int primaries);
std::string transfer_name(int transfer);
std::string range_name(ColorRange range);
std::string chroma_name(ChromaLocation chroma);
/// "bt709 / bt709 / bt709 / tv / left".
std::string to_string(const ColorTag& tag);

}  // namespace weft
