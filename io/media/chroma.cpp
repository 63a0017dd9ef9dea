#include "io/media/chroma.h"

namespace weft {
namespace {

constexpr int64_t rows = 1;
constexpr int64_t columns = 2;

bool cosited_columns(ChromaLocation location) {
    return location == ChromaLocation::left || location == ChromaLocation::top_left ||
           location == ChromaLocation::bottom_left;
}

bool cosited_rows(ChromaLocation location) {
    return location == ChromaLocation::top || location == ChromaLocation::top_left;
}

/// Samples that lie on the lower rows of their pairs are those on the upper ones of the picture
/// upside down.
bool is_bottom(ChromaLocation location, const ChromaStep& step, int64_t height) {
    return (location == ChromaLocation::bottom || location == ChromaLocation::bottom_left) &&
           step.log2_height == 1 && height % 2 == 0;
}

ChromaLocation upside_down(ChromaLocation bottom) {
    return bottom == ChromaLocation::bottom ? ChromaLocation::top : ChromaLocation::top_left;
}

/// `x` with its first and last slices repeated along `dim`.
torch::Tensor padded(const torch::Tensor& x, int64_t dim, int64_t before, int64_t after) {
    const torch::Tensor first = x.narrow(dim, 0, 1);
    const torch::Tensor last = x.narrow(dim, x.size(dim) - 1, 1);
    std::vector<torch::Tensor> parts(before, first);
    parts.push_back(x);
    parts.insert(parts.end(), after, last);
    return torch::cat(parts, dim);
}

/// Values halfway between neighbours, one after each sample.
torch::Tensor between(const torch::Tensor& samples, int64_t dim) {
    const int64_t n = samples.size(dim);
    const torch::Tensor p = padded(samples, dim, 1, 2);
    torch::Tensor inner = p.narrow(dim, 1, n) + p.narrow(dim, 2, n);
    const torch::Tensor outer = p.narrow(dim, 0, n) + p.narrow(dim, 3, n);
    return inner.mul_(9.0 / 16).sub_(outer, 1.0 / 16);
}

/// a0 b0 a1 b1 ... along `dim`.
torch::Tensor woven(const torch::Tensor& a, const torch::Tensor& b, int64_t dim) {
    return torch::stack({a, b}, dim + 1).flatten(dim, dim + 1);
}

/// @param size of the result: twice the samples or one less
torch::Tensor doubled(const torch::Tensor& samples, int64_t dim, int64_t size, bool cosited) {
    if (cosited)
        return woven(samples, between(samples, dim), dim).narrow(dim, 0, size);
    const int64_t n = samples.size(dim);
    const torch::Tensor p = padded(samples, dim, 1, 1);
    torch::Tensor slope = (p.narrow(dim, 2, n) - p.narrow(dim, 0, n)).div_(8);
    if (size % 2 != 0)
        slope.narrow(dim, n - 1, 1).zero_();  // a sample for one pixel is that pixel
    return woven(samples - slope, samples + slope, dim).narrow(dim, 0, size);
}

/// `size` halved `times` times, rounded up.
int64_t halved_size(int64_t size, int times) {
    return (size + (int64_t{1} << times) - 1) >> times;
}

torch::Tensor halved(const torch::Tensor& x, int64_t dim, bool cosited) {
    const torch::Tensor even = x.slice(dim, 0, x.size(dim), 2);
    if (!cosited) {
        const torch::Tensor odd = padded(x, dim, 0, x.size(dim) % 2).slice(dim, 1, {}, 2);
        return (even + odd).div_(2);
    }
    torch::Tensor result = even.clone();
    const int64_t gaps = x.size(dim) / 2;
    if (gaps == 0)
        return result;
    torch::Tensor surprise =
        x.slice(dim, 1, x.size(dim), 2) - between(even, dim).narrow(dim, 0, gaps);
    result.narrow(dim, 0, gaps).add_(surprise, 0.25);
    const int64_t followed = even.size(dim) - 1;
    result.narrow(dim, 1, followed).add_(surprise.narrow(dim, 0, followed), 0.25);
    return result;
}

}  // namespace

torch::Tensor upsample_chroma(torch::Tensor chroma, const ChromaStep& step, ChromaLocation location,
                              int64_t height, int64_t width) {
    const bool bottom = is_bottom(location, step, height);
    if (bottom) {
        chroma = chroma.flip(rows);
        location = upside_down(location);
    }
    for (int i = step.log2_height - 1; i >= 0; --i)
        chroma = doubled(chroma, rows, halved_size(height, i), cosited_rows(location));
    for (int i = step.log2_width - 1; i >= 0; --i)
        chroma = doubled(chroma, columns, halved_size(width, i), cosited_columns(location));
    return bottom ? chroma.flip(rows) : chroma;
}

torch::Tensor downsample_chroma(torch::Tensor chroma, const ChromaStep& step,
                                ChromaLocation location) {
    const bool bottom = is_bottom(location, step, chroma.size(rows));
    if (bottom) {
        chroma = chroma.flip(rows);
        location = upside_down(location);
    }
    for (int i = 0; i < step.log2_width; ++i)
        chroma = halved(chroma, columns, cosited_columns(location));
    for (int i = 0; i < step.log2_height; ++i)
        chroma = halved(chroma, rows, cosited_rows(location));
    return bottom ? chroma.flip(rows) : chroma;
}

}  // namespace weft
