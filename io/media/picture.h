#pragma once

#include <torch/types.h>

#include <filesystem>

namespace weft {

/// Reads a still picture (png, jpg, webp, bmp, tiff ...) as [3, h, w] or, with alpha, [4, h, w]
/// float RGB(A) in 0..1, turned upright by its rotation tag. Throws Error where the file is
/// missing, broken, no picture, or larger than 64 Mpx.
torch::Tensor read_picture(const std::filesystem::path& path);

/// Writes [3|4, h, w] float RGB(A) in 0..1 (values outside are clamped) by the name's ending: png,
/// tif and dpx of 8 bits, exr of 16-bit floats (nothing is clamped), jpg of quality about 95,
/// 4:4:4, without alpha. Appears under its name when whole; an existing file is replaced. Throws
/// Error where it cannot be written.
void write_picture(const std::filesystem::path& path, const torch::Tensor& pixels);

}  // namespace weft
