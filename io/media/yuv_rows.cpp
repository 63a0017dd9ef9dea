#include "io/media/yuv_rows.h"

#include <algorithm>
#include <array>
#include <vector>

namespace weft {
namespace {

// The bodies below are inlined into one wrapper for AVX2 and one for any x86-64 or other processor,
// so that each is vectorised for both.

/// Weights of the chroma rows i-1, i, i+1 in an output row.
using Taps = std::array<float, 3>;

/// Note [Chroma resampling], centred: the rows above and below the sample.
constexpr Taps own_row{0, 1, 0};
constexpr Taps upper_row{1.0F / 8, 1, -1.0F / 8};
constexpr Taps lower_row{-1.0F / 8, 1, 1.0F / 8};

template <class Sample>
const Sample* row_of(const PlaneRows& plane, int64_t y) {
    const auto* bytes = static_cast<const unsigned char*>(plane.data);
    return reinterpret_cast<const Sample*>(bytes + y * plane.stride_bytes);
}

template <class Sample>
Sample* row_to_write(const PlaneRows& plane, int64_t y) {
    return reinterpret_cast<Sample*>(static_cast<unsigned char*>(plane.data) +
                                     y * plane.stride_bytes);
}

/// Weighs three chroma rows into one line of its own width.
template <class Sample>
[[gnu::always_inline]] inline void weigh_rows(const PlaneRows& plane, int64_t y, const Taps& taps,
                                              float* line) {
    const auto clamped = [&](int64_t i) { return std::clamp<int64_t>(i, 0, plane.height - 1); };
    const auto* above = row_of<Sample>(plane, clamped(y - 1));
    const auto* here = row_of<Sample>(plane, y);
    const auto* below = row_of<Sample>(plane, clamped(y + 1));
    const int64_t width = plane.width;
    for (int64_t x = 0; x < width; ++x)
        line[x] = taps[0] * static_cast<float>(above[x]) + taps[1] * static_cast<float>(here[x]) +
                  taps[2] * static_cast<float>(below[x]);
}

/// Doubles a line of `count` samples to 2 * count; `line` has a sample before it and two after.
[[gnu::always_inline]] inline void double_line(const float* line, int64_t count, bool cosited,
                                               float* out) {
    if (cosited) {
        for (int64_t i = 0; i < count; ++i) {
            out[2 * i] = line[i];
            out[2 * i + 1] =
                9.0F / 16 * (line[i] + line[i + 1]) - 1.0F / 16 * (line[i - 1] + line[i + 2]);
        }
        return;
    }
    for (int64_t i = 0; i < count; ++i) {
        const float slope = (line[i + 1] - line[i - 1]) / 8;
        out[2 * i] = line[i] - slope;
        out[2 * i + 1] = line[i] + slope;
    }
}

/// Repeats the ends of a line into the room around it.
[[gnu::always_inline]] inline void extend(float* line, int64_t count) {
    line[-1] = line[0];
    line[count] = line[count - 1];
    line[count + 1] = line[count - 1];
}

bool is_cosited(ChromaLocation siting) {
    return siting == ChromaLocation::left || siting == ChromaLocation::top_left ||
           siting == ChromaLocation::bottom_left;
}

/// Room for lines of one picture.
struct Lines {
    explicit Lines(const YuvPicture& picture)
        : narrow(2 * (picture.planes[1].width + 8)), full(2 * (2 * picture.planes[1].width + 8)) {}

    float* narrow_line(int c) { return narrow.data() + c * (narrow.size() / 2) + 4; }

    float* full_line(int c) { return full.data() + c * (full.size() / 2) + 4; }

    std::vector<float> narrow;
    std::vector<float> full;
};

/// The chroma of row y at full width; returns where it lies.
template <class Sample>
[[gnu::always_inline]] inline const float* chroma_line(const YuvPicture& picture, int64_t y, int c,
                                                       Lines& lines) {
    const PlaneRows& plane = picture.planes[1 + c];
    float* narrow = lines.narrow_line(c);
    const bool lone = y % 2 == 0 && y + 1 == picture.planes[0].height;
    if (picture.step.log2_height == 0)
        weigh_rows<Sample>(plane, y, own_row, narrow);
    else if (lone)
        weigh_rows<Sample>(plane, y / 2, own_row, narrow);
    else
        weigh_rows<Sample>(plane, y / 2, y % 2 == 0 ? upper_row : lower_row, narrow);
    if (picture.step.log2_width == 0)
        return narrow;
    extend(narrow, plane.width);
    double_line(narrow, plane.width, is_cosited(picture.siting), lines.full_line(c));
    if (picture.planes[0].width % 2 != 0)  // a sample for one pixel is that pixel
        lines.full_line(c)[2 * plane.width - 2] = narrow[plane.width - 1];
    return lines.full_line(c);
}

template <class Sample>
[[gnu::always_inline]] inline void decode_rows(const YuvPicture& picture, float* rgb) {
    const PlaneRows& luma = picture.planes[0];
    const int64_t width = luma.width;
    const int64_t area = width * luma.height;
    Lines lines(picture);
    const auto& m = picture.matrix;
    std::array<float, 3> bias{};
    for (int i = 0; i < 3; ++i)
        bias[i] = -(m[i][0] * picture.offset[0] + m[i][1] * picture.offset[1] +
                    m[i][2] * picture.offset[2]);
    for (int64_t y = 0; y < luma.height; ++y) {
        const auto* codes = row_of<Sample>(luma, y);
        const float* cb = chroma_line<Sample>(picture, y, 0, lines);
        const float* cr = chroma_line<Sample>(picture, y, 1, lines);
        float* __restrict red = rgb + y * width;
        float* __restrict green = red + area;
        float* __restrict blue = green + area;
        for (int64_t x = 0; x < width; ++x) {
            const auto l = static_cast<float>(codes[x]);
            red[x] = m[0][0] * l + m[0][1] * cb[x] + m[0][2] * cr[x] + bias[0];
            green[x] = m[1][0] * l + m[1][1] * cb[x] + m[1][2] * cr[x] + bias[1];
            blue[x] = m[2][0] * l + m[2][1] * cb[x] + m[2][2] * cr[x] + bias[2];
        }
    }
}

/// NaN becomes 0, infinities large.
[[gnu::always_inline]] inline float finite(float value) {
    constexpr float large = 1e6F;
    value = value == value ? value : 0.0F;  // NOLINT(misc-redundant-expression)
    value = value < large ? value : large;
    return value > -large ? value : -large;
}

/// The nearest code. Values are not negative where the half is added; lround is slower.
template <class Sample>
[[gnu::always_inline]] inline Sample code_of(float value, float peak) {
    value = value > 0 ? value : 0.0F;
    value = value < peak ? value : peak;
    return static_cast<Sample>(
        static_cast<int32_t>(value + 0.5F));  // NOLINT(bugprone-incorrect-roundings)
}

/// Room for halving a line: samples before and after each.
struct HalfRoom {
    float* even;
    float* surprise;
};

/// Halves a line of `width` samples; it has room for one more. Cosited: the lifting inverse of
/// double_line; centred: the mean.
[[gnu::always_inline]] inline void halve_line(float* line, int64_t width, bool cosited,
                                              const HalfRoom& room, float* out) {
    const int64_t count = (width + 1) / 2;
    const int64_t gaps = width / 2;
    if (!cosited) {
        if (width % 2 != 0)
            line[width] = line[width - 1];
        for (int64_t i = 0; i < count; ++i) out[i] = (line[2 * i] + line[2 * i + 1]) / 2;
        return;
    }
    float* __restrict even = room.even;
    float* __restrict surprise = room.surprise;
    for (int64_t i = 0; i < count; ++i) even[i] = line[2 * i];
    extend(even, count);
    for (int64_t i = 0; i < gaps; ++i)
        surprise[i] = line[2 * i + 1] - (9.0F / 16 * (even[i] + even[i + 1]) -
                                         1.0F / 16 * (even[i - 1] + even[i + 2]));
    surprise[-1] = 0;
    for (int64_t i = gaps; i < count; ++i) surprise[i] = 0;
    for (int64_t i = 0; i < count; ++i) out[i] = even[i] + (surprise[i] + surprise[i - 1]) / 4;
}

/// Codes of one row of RGB: luma stored, chroma at full width.
template <class Sample>
[[gnu::always_inline]] inline void code_row(const YuvPicture& picture, const float* rgb, int64_t y,
                                            float* __restrict cb, float* __restrict cr) {
    const PlaneRows& luma = picture.planes[0];
    const int64_t width = luma.width;
    const int64_t area = width * luma.height;
    const float* red = rgb + y * width;
    const float* green = red + area;
    const float* blue = green + area;
    const auto& m = picture.inverse;
    const auto& o = picture.offset;
    auto* __restrict codes = row_to_write<Sample>(luma, y);
    const float peak = picture.peak;
    for (int64_t x = 0; x < width; ++x) {
        const float r = finite(red[x]);
        const float g = finite(green[x]);
        const float b = finite(blue[x]);
        codes[x] = code_of<Sample>(m[0][0] * r + m[0][1] * g + m[0][2] * b + o[0], peak);
        cb[x] = m[1][0] * r + m[1][1] * g + m[1][2] * b + o[1];
        cr[x] = m[2][0] * r + m[2][1] * g + m[2][2] * b + o[2];
    }
}

template <class Sample>
[[gnu::always_inline]] inline void store_mean(const float* a, const float* b, float peak,
                                              Sample* __restrict codes, int64_t count) {
    for (int64_t x = 0; x < count; ++x) codes[x] = code_of<Sample>((a[x] + b[x]) / 2, peak);
}

template <class Sample>
[[gnu::always_inline]] inline void encode_rows(const float* rgb, const YuvPicture& picture) {
    const int64_t width = picture.planes[0].width;
    const int64_t height = picture.planes[0].height;
    const int64_t narrow = picture.planes[1].width;
    const bool halved = picture.step.log2_width != 0;
    const bool cosited = is_cosited(picture.siting);
    const int64_t rows = int64_t{1} << picture.step.log2_height;
    const int64_t room = width + 16;
    std::vector<float> full(2 * room);
    std::vector<float> split(2 * room);
    const HalfRoom split_room{.even = split.data() + 4, .surprise = split.data() + room + 4};
    std::vector<float> half(4 * room);  // two components of two rows
    for (int64_t y = 0; y < height; ++y) {
        code_row<Sample>(picture, rgb, y, full.data() + 4, full.data() + room + 4);
        for (int64_t c = 0; c < 2; ++c) {
            float* line = full.data() + c * room + 4;
            float* kept = half.data() + (2 * c + y % rows) * room;
            if (halved)
                halve_line(line, width, cosited, split_room, kept);
            else
                std::copy(line, line + width, kept);
            const bool last = y + 1 == height;
            if (y % rows != rows - 1 && !last)
                continue;
            const float* first = half.data() + 2 * c * room;
            store_mean(first, y % rows == 0 ? first : kept, picture.peak,
                       row_to_write<Sample>(picture.planes[1 + c], y / rows), narrow);
        }
    }
}

#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] void decode_avx2(const YuvPicture& picture, float* rgb) {
    if (picture.planes[0].wide)
        decode_rows<uint16_t>(picture, rgb);
    else
        decode_rows<uint8_t>(picture, rgb);
}

[[gnu::target("avx2,fma")]] void encode_avx2(const float* rgb, const YuvPicture& picture) {
    if (picture.planes[0].wide)
        encode_rows<uint16_t>(rgb, picture);
    else
        encode_rows<uint8_t>(rgb, picture);
}

bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

void decode_any(const YuvPicture& picture, float* rgb) {
    if (picture.planes[0].wide)
        decode_rows<uint16_t>(picture, rgb);
    else
        decode_rows<uint8_t>(picture, rgb);
}

void encode_any(const float* rgb, const YuvPicture& picture) {
    if (picture.planes[0].wide)
        encode_rows<uint16_t>(rgb, picture);
    else
        encode_rows<uint8_t>(rgb, picture);
}

}  // namespace

bool has_row_path(const ChromaStep& step, ChromaLocation siting) {
    const bool between_rows = siting == ChromaLocation::left || siting == ChromaLocation::center ||
                              siting == ChromaLocation::unspecified;
    return step.log2_width <= 1 && step.log2_height <= step.log2_width &&
           (step.log2_height == 0 || between_rows);
}

void rgb_from_planes(const YuvPicture& picture, float* rgb) {
#if defined(__x86_64__)
    if (has_avx2())
        return decode_avx2(picture, rgb);
#endif
    decode_any(picture, rgb);
}

void planes_from_rgb(const float* rgb, const YuvPicture& picture) {
#if defined(__x86_64__)
    if (has_avx2())
        return encode_avx2(rgb, picture);
#endif
    encode_any(rgb, picture);
}

}  // namespace weft
