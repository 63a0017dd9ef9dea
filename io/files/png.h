#pragma once

#include <torch/types.h>

#include <filesystem>

namespace weft {

/// Writes `image` [3|1, h, w], floating, 0..1 (clamped, rounded to 8 bits), as a PNG file, RGB or
/// grey (ISO/IEC 15948). Any device and dtype. Throws Error where the file cannot be written;
/// nothing half-written stays. Thread-safe: yes.
void save_png(const std::filesystem::path& path, const torch::Tensor& image);

}  // namespace weft
