#pragma once

#include <filesystem>
#include <string>

#include "video/gallery.h"
#include "video/measure.h"

namespace weft {

/// The page's text: one HTML file that needs nothing else, light or dark as the reader's system is.
/// A table of all clips against the identity edit, plots over time, the worst frames of each clip
/// first and then some spread over it, with flow and error maps.
std::string measure_page(const Measurement& measurement, const Gallery& gallery,
                         const std::string& title);

/// Writes it; appears whole or not at all. Throws Error where the file cannot be written.
void write_measure_page(const std::filesystem::path& path, const Measurement& measurement,
                        const Gallery& gallery);

}  // namespace weft
