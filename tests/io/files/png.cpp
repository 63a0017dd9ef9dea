#include "io/files/png.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "io/files/deflate.h"
#include "tests/io/files/inflate.h"
#include "tests/io/files/scratch.h"

namespace weft {

namespace {

uint32_t big_endian(const std::string& bytes, size_t place) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) {
        value = value << 8 | static_cast<unsigned char>(bytes.at(place + i));
    }
    return value;
}

// Straight from its definition: the remainder of a division by the polynomial.
uint32_t crc(const std::string& bytes) {
    uint32_t remainder = ~0U;
    for (const char c : bytes) {
        remainder ^= static_cast<unsigned char>(c);
        for (int i = 0; i < 8; ++i) {
            remainder = remainder >> 1 ^ ((remainder & 1) != 0 ? 0xedb88320U : 0);
        }
    }
    return ~remainder;
}

struct Picture {
    uint32_t width = 0;
    uint32_t height = 0;
    size_t channels = 0;
    std::string pixels;  // [height, width * channels], filters undone
};

uint8_t prediction(int filter, int left, int up, int corner) {
    const int guess = left + up - corner;
    switch (filter) {
        case 0:
            return 0;
        case 1:
            return static_cast<uint8_t>(left);
        case 2:
            return static_cast<uint8_t>(up);
        case 3:
            return static_cast<uint8_t>((left + up) / 2);
        default:
            if (std::abs(guess - left) <= std::abs(guess - up) &&
                std::abs(guess - left) <= std::abs(guess - corner)) {
                return static_cast<uint8_t>(left);
            }
            return static_cast<uint8_t>(std::abs(guess - up) <= std::abs(guess - corner) ? up
                                                                                         : corner);
    }
}

void unfilter(Picture& picture, const std::string& lines) {
    const size_t line = picture.width * picture.channels;
    REQUIRE(lines.size() == picture.height * (line + 1));
    for (size_t y = 0; y < picture.height; ++y) {
        const int filter = static_cast<unsigned char>(lines[y * (line + 1)]);
        REQUIRE(filter <= 4);
        for (size_t x = 0; x < line; ++x) {
            const auto at = [&](bool inside, size_t back) {
                const size_t place = y * line + x;
                return inside ? static_cast<unsigned char>(picture.pixels[place - back]) : 0;
            };
            const bool inner = x >= picture.channels;
            const auto guess = prediction(filter, at(inner, picture.channels), at(y > 0, line),
                                          at(inner && y > 0, line + picture.channels));
            picture.pixels += static_cast<char>(lines[y * (line + 1) + 1 + x] + guess);
        }
    }
}

// Reads what save_png wrote, checking every length and checksum on the way.
Picture read_png(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    REQUIRE(bytes.substr(0, 8) == "\x89PNG\r\n\x1a\n");
    Picture picture;
    std::string types;
    for (size_t place = 8; place < bytes.size();) {
        const size_t size = big_endian(bytes, place);
        const std::string body = bytes.substr(place + 4, size + 4);
        REQUIRE(big_endian(bytes, place + 8 + size) == crc(body));
        const std::string type = body.substr(0, 4);
        types += type;
        if (type == "IHDR") {
            picture.width = big_endian(body, 4);
            picture.height = big_endian(body, 8);
            picture.channels = body.at(13) == 2 ? 3 : 1;
            REQUIRE(body.substr(12) == std::string({8, body.at(13) == 2 ? '\2' : '\0', 0, 0, 0}));
        } else if (type == "IDAT") {
            unfilter(picture, inflated(std::string_view(body).substr(4)));
        }
        place += size + 12;
    }
    REQUIRE(types == "IHDRIDATIEND");
    return picture;
}

// `image` as the bytes a PNG holds.
std::string expected(const torch::Tensor& image) {
    const auto bytes =
        image.mul(255).round().clamp(0, 255).to(torch::kUInt8).permute({1, 2, 0}).contiguous();
    return {static_cast<const char*>(bytes.data_ptr()), bytes.nbytes()};
}

torch::Tensor smooth(int64_t height, int64_t width) {
    const auto x = at::linspace(0, 6, width);
    const auto y = at::linspace(0, 4, height).unsqueeze(1);
    return at::stack({at::sin(x + y), at::cos(x - y), at::sin(x * y)}).mul(0.5).add(0.5);
}

}  // namespace

TEST_CASE("a PNG holds the picture exactly") {
    const Scratch scratch;
    const auto path = scratch / "x.png";
    at::manual_seed(1);
    for (const auto& image : {at::rand({3, 7, 5}), at::rand({1, 4, 9}), smooth(67, 130),
                              at::zeros({3, 40, 300}), at::ones({1, 1, 1})}) {
        save_png(path, image);
        const Picture picture = read_png(path);
        CHECK(picture.width == image.size(2));
        CHECK(picture.height == image.size(1));
        CHECK(static_cast<int64_t>(picture.channels) == image.size(0));
        CHECK(picture.pixels == expected(image));
    }
    CHECK(scratch.entries() == 1);
}

TEST_CASE("values outside 0..1 are clamped and no number is black") {
    const Scratch scratch;
    save_png(scratch / "x.png", at::tensor({-1.0F, 2.0F, NAN, 0.5F}).reshape({1, 1, 4}));
    CHECK(read_png(scratch / "x.png").pixels == std::string("\0\xff\0\x80", 4));
    save_png(scratch / "h.png", at::full({3, 2, 2}, 0.25, torch::kBFloat16));
    CHECK(read_png(scratch / "h.png").pixels == std::string(12, '\x40'));
}

TEST_CASE("smooth pictures compress well and misshapen ones are refused") {
    const Scratch scratch;
    save_png(scratch / "x.png", smooth(256, 256));
    CHECK(std::filesystem::file_size(scratch / "x.png") < 256 * 256 * 3 / 3);
    CHECK_THROWS_AS(save_png(scratch / "y.png", at::rand({4, 2, 2})), c10::Error);
    CHECK_THROWS_AS(save_png(scratch / "y.png", at::rand({2, 2})), c10::Error);
    CHECK_THROWS_AS(save_png(scratch / "y.png", at::ones({3, 2, 2}, torch::kUInt8)), c10::Error);
    CHECK(scratch.entries() == 1);
}

TEST_CASE("whatever is compressed comes back") {
    at::manual_seed(2);
    const auto random = [](int64_t size, int64_t values) {
        const auto bytes = at::randint(values, {size}).to(torch::kUInt8);
        return std::string(static_cast<const char*>(bytes.data_ptr()), bytes.nbytes());
    };
    std::vector<std::string> cases{"",
                                   "a",
                                   "ab",
                                   "aaa",
                                   random(10, 256),
                                   random(70000, 256),
                                   random(90000, 3),
                                   std::string(100000, 'x')};
    for (const size_t length : {257, 258, 259, 260, 515, 516, 517}) {
        cases.emplace_back(length, 'y');
    }
    // Copies from as far back as the window reaches, and from just beyond it.
    for (const int64_t distance : {32767, 32768, 32769}) {
        const std::string noise = random(distance, 256);
        cases.push_back(noise + noise.substr(0, 300));
    }
    // Counts that grow like Fibonacci's numbers make the deepest Huffman trees.
    std::string deep;
    for (size_t a = 1, b = 1, symbol = 0; symbol < 22; ++symbol) {
        deep.append(a, static_cast<char>('A' + symbol));
        a = std::exchange(b, a + b);
    }
    cases.push_back(deep);
    for (const std::string& data : cases) {
        const std::string stream = zlib_compressed(data);
        INFO(data.size() << " bytes, " << stream.size() << " compressed");
        CHECK((inflated(stream) == data));
    }
}

}  // namespace weft
