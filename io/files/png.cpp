#include "io/files/png.h"

#include <array>
#include <string>
#include <string_view>

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

// RFC 1950, section 9.
uint32_t adler32(std::string_view bytes) {
    uint32_t a = 1;
    uint32_t b = 0;
    for (const char c : bytes) {
        a = (a + static_cast<unsigned char>(c)) % 65521U;
        b = (b + a) % 65521U;
    }
    return b << 16U | a;
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

// A zlib stream of stored blocks (RFC 1950 and 1951): no compression, no dependency.
std::string stored(std::string_view data) {
    constexpr size_t max_block = 65535;
    std::string stream = "\x78\x01";
    for (size_t at = 0; at < data.size(); at += max_block) {
        const auto block = data.substr(at, max_block);
        const auto size = static_cast<uint32_t>(block.size());
        stream += at + max_block >= data.size() ? '\1' : '\0';
        for (const uint32_t word : {size, ~size}) {
            stream += static_cast<char>(word);
            stream += static_cast<char>(word >> 8U);
        }
        stream += block;
    }
    stream += big_endian(adler32(data));
    return stream;
}

}  // namespace

void save_png(const std::filesystem::path& path, const torch::Tensor& image) {
    TORCH_CHECK(image.dim() == 3 && (image.size(0) == 3 || image.size(0) == 1) &&
                    image.is_floating_point() && image.numel() > 0,
                "save_png needs a float image [3|1, h, w], got ", image.sizes());
    const int64_t height = image.size(1);
    const int64_t width = image.size(2);
    const auto bytes = image.detach()
                           .to(torch::kCPU, torch::kFloat32)
                           .nan_to_num()
                           .clamp(0, 1)
                           .mul(255)
                           .round()
                           .to(torch::kUInt8)
                           .permute({1, 2, 0})
                           .reshape({height, width * image.size(0)});  // [h, w * channels]
    // Each line starts with its filter type: 0, none.
    const auto lines = at::constant_pad_nd(bytes, {1, 0}).contiguous();
    const std::string_view data(static_cast<const char*>(lines.data_ptr()),
                                static_cast<size_t>(lines.numel()));
    std::string header = big_endian(static_cast<uint32_t>(width));
    header += big_endian(static_cast<uint32_t>(height));
    header += '\x08';                            // bits
    header += image.size(0) == 3 ? '\2' : '\0';  // colour type
    header.append(3, '\0');                      // deflate, adaptive filters, no interlace
    WholeFile file(path);
    file.write("\x89PNG\r\n\x1a\n");
    file.write(chunk("IHDR", header));
    file.write(chunk("IDAT", stored(data)));
    file.write(chunk("IEND", ""));
    file.commit();
}

}  // namespace weft
