#include "io/files/png.h"

#include <array>
#include <cstdlib>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/files/deflate.h"
#include "io/files/whole_file.h"

namespace weft {
namespace {

// ISO/IEC 15948, annex D.
uint32_t crc32(std::string_view bytes) {
    static constexpr auto table = [] {
        std::array<uint32_t, 256> t{};
        for (uint32_t n = 0; n < 256; ++n) {
            t[n] = n;
            for (int k = 0; k < 8; ++k) {
                t[n] = (t[n] & 1U) != 0 ? 0xedb88320U ^ (t[n] >> 1U) : t[n] >> 1U;
            }
        }
        return t;
    }();
    uint32_t crc = 0xffffffffU;
    for (const char c : bytes) {
        crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xffU] ^ (crc >> 8U);
    }
    return ~crc;
}

std::string big_endian(uint32_t value) {
    return {static_cast<char>(value >> 24U), static_cast<char>(value >> 16U),
            static_cast<char>(value >> 8U), static_cast<char>(value)};
}

std::string chunk(const std::string& type, const std::string& data) {
    std::string body = type;
    body += data;
    std::string bytes = big_endian(static_cast<uint32_t>(data.size()));
    bytes += body;
    bytes += big_endian(crc32(body));
    return bytes;
}

using Bytes = std::vector<uint8_t>;

uint8_t paeth(int left, int up, int corner) {
    const int guess = left + up - corner;
    const int to_left = std::abs(guess - left);
    const int to_up = std::abs(guess - up);
    const int to_corner = std::abs(guess - corner);
    if (to_left <= to_up && to_left <= to_corner) {
        return static_cast<uint8_t>(left);
    }
    return static_cast<uint8_t>(to_up <= to_corner ? up : corner);
}

// What filter type `type` predicts for a byte from its neighbours (section 9.2).
uint8_t predicted(int type, uint8_t left, uint8_t up, uint8_t corner) {
    switch (type) {
        case 1:
            return left;
        case 2:
            return up;
        case 3:
            return static_cast<uint8_t>((left + up) / 2);
        case 4:
            return paeth(left, up, corner);
        default:
            return 0;
    }
}

// `line` less its prediction, after the byte that names the filter; `above` is zeros for the first.
Bytes filtered(int type, const Bytes& line, const Bytes& above, size_t channels) {
    Bytes result{static_cast<uint8_t>(type)};
    result.reserve(line.size() + 1);
    for (size_t i = 0; i < line.size(); ++i) {
        const bool first = i < channels;
        const uint8_t left = first ? uint8_t{0} : line[i - channels];
        const uint8_t corner = first ? uint8_t{0} : above[i - channels];
        result.push_back(static_cast<uint8_t>(line[i] - predicted(type, left, above[i], corner)));
    }
    return result;
}

// Sum of the residuals as signed numbers: the smallest usually compresses best (section 12.8).
int64_t cost(const Bytes& residuals) {
    return std::accumulate(residuals.begin() + 1, residuals.end(), int64_t{0},
                           [](int64_t sum, uint8_t byte) {
                               return sum + std::abs(static_cast<int>(static_cast<int8_t>(byte)));
                           });
}

Bytes best_filtered(const Bytes& line, const Bytes& above, size_t channels) {
    Bytes best = filtered(0, line, above, channels);
    for (int type = 1; type <= 4; ++type) {
        Bytes other = filtered(type, line, above, channels);
        if (cost(other) < cost(best)) {
            best = std::move(other);
        }
    }
    return best;
}

// The lines of `pixels` [h, w * channels] u8, each with its filter.
std::string filtered_lines(const torch::Tensor& pixels, size_t channels) {
    const auto width = static_cast<size_t>(pixels.size(1));
    const auto* bytes = pixels.data_ptr<uint8_t>();
    Bytes above(width, 0);
    std::string lines;
    for (int64_t y = 0; y < pixels.size(0); ++y) {
        Bytes line(bytes, bytes + width);
        const Bytes best = best_filtered(line, above, channels);
        lines.append(best.begin(), best.end());
        above = std::move(line);
        bytes += width;
    }
    return lines;
}

}  // namespace

void save_png(const std::filesystem::path& path, const torch::Tensor& image) {
    TORCH_CHECK(image.dim() == 3 && (image.size(0) == 3 || image.size(0) == 1) &&
                    image.is_floating_point() && image.numel() > 0,
                "save_png needs a float image [3|1, h, w], got ", image.sizes());
    const int64_t height = image.size(1);
    const int64_t width = image.size(2);
    const auto pixels = image.detach()
                            .to(torch::kCPU, torch::kFloat32)
                            .nan_to_num()
                            .clamp(0, 1)
                            .mul(255)
                            .round()
                            .to(torch::kUInt8)
                            .permute({1, 2, 0})
                            .reshape({height, width * image.size(0)})  // [h, w * channels]
                            .contiguous();
    const std::string lines = filtered_lines(pixels, static_cast<size_t>(image.size(0)));
    std::string header = big_endian(static_cast<uint32_t>(width));
    header += big_endian(static_cast<uint32_t>(height));
    header += '\x08';                            // bits
    header += image.size(0) == 3 ? '\2' : '\0';  // colour type
    header.append(3, '\0');                      // deflate, adaptive filters, no interlace
    WholeFile file(path);
    file.write("\x89PNG\r\n\x1a\n");
    file.write(chunk("IHDR", header));
    file.write(chunk("IDAT", zlib_compressed(lines)));
    file.write(chunk("IEND", ""));
    file.commit();
}

}  // namespace weft
