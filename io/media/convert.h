#pragma once

// Between libav's pictures and weft's tensors, for sources of io/media only.

#include <torch/types.h>

#include "io/media/color.h"
#include "io/media/libav.h"

namespace weft {

/// True for formats that hold RGB (palettes too) rather than luma and chroma.
bool is_rgb_format(AVPixelFormat format);
/// Bits of the widest component.
int format_depth(AVPixelFormat format);
/// True where the format has an alpha plane or component.
bool has_alpha_plane(AVPixelFormat format);
/// The tag that describes `frame`'s code values: its own fields, with the range implied by its
/// format (yuvj, gray and RGB are full range).
ColorTag frame_color(const AVFrame& frame);

/// Turns decoded pictures into tensors. RGB formats are exact; luma and chroma are decoded with the
/// matrix, range and chroma siting of the tag, chroma upsampled bicubically, in 16 bits and more.
/// The conversion is set up once and reused while size, format and tag stay. Thread-safe: no.
class PictureDecoder {
  public:
    /// @return [3, h, w], or [4, h, w] where the format has alpha: float32 RGB(A) in 0..1,
    /// contiguous Throws Error where the matrix is one weft cannot undo (YCgCo, ICtCp, constant
    /// luminance).
    torch::Tensor decode(const AVFrame& frame);

  private:
    struct Setup {
        int width = 0;
        int height = 0;
        int format = -1;
        ColorTag color;
        friend bool operator==(const Setup&, const Setup&) = default;
    };

    torch::Tensor decode_rgb(const AVFrame& frame);
    torch::Tensor decode_gray(const AVFrame& frame);
    torch::Tensor decode_yuv(const AVFrame& frame);
    void convert(const AVFrame& frame, AVPixelFormat target);
    void prepare(const AVFrame& frame, AVPixelFormat target);

    Setup setup_;
    ScalerHandle scaler_;
    FrameHandle planar_;
};

/// Turns tensors into pictures of one format for an encoder, the inverse of PictureDecoder.
/// Thread-safe: no.
class PictureEncoder {
  public:
    /// @param color matrix, range and siting of the code values; resolved (nothing unspecified)
    PictureEncoder(AVPixelFormat format, int64_t width, int64_t height, ColorTag color);

    /// @param pixels [3|4, h, w] RGB(A); values outside 0..1 are clamped, NaN becomes 0; a missing
    ///               alpha is 1, a surplus one is dropped
    /// @return a new reference-counted picture with its colour fields set, pts unset
    FrameHandle encode(const torch::Tensor& pixels);

  private:
    void encode_rgb(const torch::Tensor& pixels, AVFrame& frame) const;
    void encode_yuv(AVFrame& frame);

    AVPixelFormat format_;
    int64_t width_;
    int64_t height_;
    int64_t channels_;
    ColorTag color_;
    torch::Tensor
        scratch_;           // flat: channels_ planes of h*w, then room that SIMD code may read over
    torch::Tensor planes_;  // [3|4, h, w], the view of `scratch_` in use
    ScalerHandle scaler_;
};

}  // namespace weft
