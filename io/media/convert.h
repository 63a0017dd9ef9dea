#pragma once

// Between libav's pictures and weft's tensors, for sources of io/media only.

#include <torch/types.h>

#include "io/media/color.h"
#include "io/media/libav.h"
#include "io/media/pixel_format.h"

namespace weft {

/// The tag that describes `frame`'s code values: its own fields, with the range implied by its
/// format (yuvj, gray and RGB are full range).
ColorTag frame_color(const AVFrame& frame);

/// Turns decoded pictures into tensors. RGB and gray formats are exact; luma and chroma are decoded
/// with the matrix, range and chroma siting of the tag in floating point, chroma as in
/// Note [Chroma resampling]. Nothing is clipped: code values beyond white or outside the RGB gamut
/// give numbers outside 0..1, which PictureEncoder turns back into the same code values.
/// Thread-safe: no (keeps a converter for rare formats).
class PictureDecoder {
  public:
    /// @return [3, h, w], or [4, h, w] where the format has alpha: float32 RGB(A), contiguous
    /// Throws Error where the matrix is one weft cannot undo (YCgCo, ICtCp, constant luminance).
    torch::Tensor decode(const AVFrame& frame);

  private:
    const AVFrame& unpacked(const AVFrame& frame);

    ScalerHandle scaler_;   // for formats without whole native components
    FrameHandle unpacked_;  // its result
    int width_ = 0;         // what it is set up for
    int height_ = 0;
    int format_ = AV_PIX_FMT_NONE;
};

/// Turns tensors into pictures of one format for an encoder, the inverse of PictureDecoder.
/// Thread-safe: yes (immutable).
class PictureEncoder {
  public:
    /// @param color matrix, range and siting of the code values; resolved (nothing unspecified)
    PictureEncoder(AVPixelFormat format, int64_t width, int64_t height, ColorTag color);

    /// @param pixels [3|4, h, w] RGB(A); what the code values cannot express is clipped, NaN
    /// becomes
    ///               0; a missing alpha is 1, a surplus one is dropped
    /// @return a new reference-counted picture with its colour fields set, pts unset
    FrameHandle encode(const torch::Tensor& pixels) const;

  private:
    void encode_rgb(const torch::Tensor& rgb, AVFrame& frame) const;
    void encode_yuv(const torch::Tensor& rgb, AVFrame& frame) const;

    AVPixelFormat format_;
    int64_t width_;
    int64_t height_;
    ColorTag color_;
};

}  // namespace weft
