#include "temporal/smoothing.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <vector>

namespace weft {
namespace {

/// Rows that go side by side: each sum waits for the one before it.
constexpr int64_t strip = 8;

/// How many of 2 radius + 1 neighbours of a place there are.
int64_t neighbours(int64_t at, int64_t length, int64_t radius) {
    return std::min(at + radius, length - 1) - std::max<int64_t>(at - radius, 0) + 1;
}

/// Means of 2 radius + 1 neighbours along `strip` rows.
void mean_along_strip(const float* from, float* to, int64_t width, int64_t radius) {
    std::array<double, strip> sums{};
    const auto add = [&](int64_t x, double sign) {
        for (int64_t row = 0; row < strip; ++row) {
            sums[row] += sign * from[row * width + x];
        }
    };
    for (int64_t x = 0; x < std::min(radius, width); ++x) {
        add(x, 1);
    }
    for (int64_t x = 0; x < width; ++x) {
        if (x + radius < width) {
            add(x + radius, 1);
        }
        if (x - radius > 0) {
            add(x - radius - 1, -1);
        }
        const double share = 1.0 / static_cast<double>(neighbours(x, width, radius));
        for (int64_t row = 0; row < strip; ++row) {
            to[row * width + x] = static_cast<float>(sums[row] * share);
        }
    }
}

/// The same along any number of rows.
void mean_along_rows(const float* from, float* to, int64_t rows, int64_t width, int64_t radius) {
    if (rows < strip) {
        std::vector<float> padded(strip * width, 0.0F);
        std::vector<float> means(strip * width);
        std::copy_n(from, rows * width, padded.data());
        mean_along_strip(padded.data(), means.data(), width, radius);
        std::copy_n(means.data(), rows * width, to);
        return;
    }
    for (int64_t row = 0; row < rows; row += strip) {
        // The last strip goes back over rows that are done.
        const auto start = std::min(row, rows - strip) * width;
        mean_along_strip(from + start, to + start, width, radius);
    }
}

/// The same along columns; all columns of a plane move down together.
void mean_along_columns(const float* from, float* to, int64_t height, int64_t width,
                        int64_t radius) {
    std::vector<double> sums(width, 0.0);
    const auto add = [&](int64_t y, double sign) {
        const float* row = from + y * width;
        for (int64_t x = 0; x < width; ++x) {
            sums[x] += sign * row[x];
        }
    };
    for (int64_t y = 0; y < std::min(radius, height); ++y) {
        add(y, 1);
    }
    for (int64_t y = 0; y < height; ++y) {
        if (y + radius < height) {
            add(y + radius, 1);
        }
        if (y - radius > 0) {
            add(y - radius - 1, -1);
        }
        const double share = 1.0 / static_cast<double>(neighbours(y, height, radius));
        for (int64_t x = 0; x < width; ++x) {
            to[y * width + x] = static_cast<float>(sums[x] * share);
        }
    }
}

torch::Tensor mean_on_cpu(const torch::Tensor& pictures, int64_t radius) {
    const auto height = pictures.size(2);
    const auto width = pictures.size(3);
    const auto planes = pictures.size(0) * pictures.size(1);
    auto across = torch::empty_like(pictures);
    auto result = torch::empty_like(pictures);
    mean_along_rows(pictures.data_ptr<float>(), across.data_ptr<float>(), planes * height, width,
                    radius);
    for (int64_t plane = 0; plane < planes; ++plane) {
        const auto at = plane * height * width;
        mean_along_columns(across.data_ptr<float>() + at, result.data_ptr<float>() + at, height,
                           width, radius);
    }
    return result;
}

torch::Tensor mean_on_device(const torch::Tensor& pictures, int64_t radius) {
    const auto side = 2 * radius + 1;
    const auto across = at::avg_pool2d(pictures, {1, side}, {1, 1}, {0, radius},
                                       /*ceil_mode=*/false, /*count_include_pad=*/false);
    return at::avg_pool2d(across, {side, 1}, {1, 1}, {radius, 0}, /*ceil_mode=*/false,
                          /*count_include_pad=*/false);
}

}  // namespace

torch::Tensor box_mean(const torch::Tensor& pictures, int64_t radius) {
    TORCH_CHECK(pictures.dim() == 4 && pictures.is_floating_point() && radius >= 0,
                "box mean of radius ", radius, " of ", pictures.sizes());
    const auto plain = pictures.to(torch::kFloat32).contiguous();
    return plain.is_cpu() ? mean_on_cpu(plain, radius) : mean_on_device(plain, radius);
}

torch::Tensor smooth_mean(const torch::Tensor& pictures, int64_t radius) {
    return box_mean(box_mean(pictures, radius), radius);
}

torch::Tensor dilated(const torch::Tensor& mask, int64_t px) {
    if (!mask.is_cpu()) {
        // A single pixel among (2 px + 1)^2 still lifts the mean far above rounding.
        return box_mean(mask.to(torch::kFloat32), px) > 1e-6;
    }
    const auto grown_along = [px](const torch::Tensor& from, int64_t side) {
        auto to = from.clone();
        for (int64_t step = 1; step <= std::min(px, from.size(side) - 1); ++step) {
            const auto length = from.size(side) - step;
            to.narrow(side, step, length).bitwise_or_(from.narrow(side, 0, length));
            to.narrow(side, 0, length).bitwise_or_(from.narrow(side, step, length));
        }
        return to;
    };
    // As bytes, which the vector unit takes.
    return grown_along(grown_along(mask.view(torch::kUInt8), 3), 2).view(torch::kBool);
}

torch::Tensor luma_of(const torch::Tensor& pictures) {
    TORCH_CHECK(pictures.dim() == 4 && pictures.size(1) == 3, "pictures of shape ",
                pictures.sizes());
    return 0.299 * pictures.narrow(1, 0, 1) + 0.587 * pictures.narrow(1, 1, 1) +
           0.114 * pictures.narrow(1, 2, 1);
}

torch::Tensor smooth_step(const torch::Tensor& x, double from, double to) {
    const auto part = ((x - from) / (to - from)).clamp(0, 1);
    return part * part * (3 - 2 * part);
}

}  // namespace weft
