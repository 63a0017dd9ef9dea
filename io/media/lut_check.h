#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace weft {

/// Refuses colour tables (LUTs) that a parser should not see. OpenColorIO before May 2026 believes
/// the sizes such files declare (CVE-2026-42450). Sides of cubes are 2 to 129, curves have 2 to
/// 65,536 entries, and there must be just as many entries as the size says, each of numbers; files
/// are at most 128 MiB. Known are .cube, .spi1d, .spi3d, .spimtx, and the XML of .clf, .ctf, .cc,
/// .ccc and .cdl; other endings are refused, because OpenColorIO tries every parser it has on them.
/// Thread-safe: yes.
/// @throws Error naming the file
void check_lut(const std::filesystem::path& path);

/// What is wrong with the text of a table whose file name ends like that ("cube" ...); empty where
/// nothing is.
std::string lut_problem(std::string_view text, const std::string& ending);

}  // namespace weft
