#pragma once

// What libav's pixel formats hold, for sources of io/media only.

#include "io/media/libav.h"

namespace weft {

const AVPixFmtDescriptor& describe(AVPixelFormat format);
bool has_flag(AVPixelFormat format, uint64_t flag);
bool is_float(AVPixelFormat format);
bool is_gray(AVPixelFormat format);
/// True for formats that hold RGB (palettes too) rather than luma and chroma.
bool is_rgb_format(AVPixelFormat format);
/// Bits of the widest component.
int format_depth(AVPixelFormat format);
/// True where the format has an alpha plane or component.
bool has_alpha_plane(AVPixelFormat format);
/// True for formats that PictureEncoder writes.
bool can_encode(AVPixelFormat format);
/// Code value of 1.0 over the full range.
double peak(AVPixelFormat format);
/// True where each component fills whole bytes, so that a strided tensor can look at it.
bool has_whole_components(AVPixelFormat format);
/// True for planes of native integers without gaps.
bool has_plain_planes(AVPixelFormat format);
/// The format with whole components that holds `format` best.
AVPixelFormat whole_format(AVPixelFormat format);

}  // namespace weft
