#include "tests/io/files/inflate.h"

#include <array>
#include <map>
#include <stdexcept>
#include <utility>
#include <vector>

namespace weft {
namespace {

class Bits {
  public:
    explicit Bits(std::string_view bytes) : bytes_(bytes) {}

    uint32_t next() {
        if (place_ / 8 >= bytes_.size()) {
            throw std::runtime_error("the stream ends early");
        }
        const auto byte = static_cast<unsigned char>(bytes_[place_ / 8]);
        return byte >> (place_++ % 8) & 1U;
    }

    uint32_t number(int count) {
        uint32_t value = 0;
        for (int i = 0; i < count; ++i) {
            value |= next() << i;
        }
        return value;
    }

    std::string_view rest() const { return bytes_.substr((place_ + 7) / 8); }

  private:
    std::string_view bytes_;
    size_t place_ = 0;
};

// Canonical code: (length, code) -> symbol.
class Code {
  public:
    explicit Code(const std::vector<uint32_t>& lengths) {
        uint32_t code = 0;
        for (uint32_t length = 1; length <= 15; ++length) {
            code <<= 1;
            for (size_t i = 0; i < lengths.size(); ++i) {
                if (lengths[i] == length) {
                    symbols_[{length, code++}] = i;
                }
            }
            if (code > (1U << length)) {
                throw std::runtime_error("too many codes");
            }
        }
    }

    size_t read(Bits& bits) const {
        uint32_t code = 0;
        for (uint32_t length = 1; length <= 15; ++length) {
            code = code << 1 | bits.next();
            if (const auto found = symbols_.find({length, code}); found != symbols_.end()) {
                return found->second;
            }
        }
        throw std::runtime_error("no such code");
    }

  private:
    std::map<std::pair<uint32_t, uint32_t>, size_t> symbols_;
};

// RFC 1951, section 3.2.5, as printed there.
constexpr std::array<uint32_t, 29> length_bases{3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                                15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                                67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr std::array<int, 29> length_bits{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                          2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
constexpr std::array<uint32_t, 30> distance_bases{
    1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};

std::vector<uint32_t> read_lengths(Bits& bits, const Code& code, size_t count) {
    std::vector<uint32_t> lengths;
    while (lengths.size() < count) {
        const size_t symbol = code.read(bits);
        if (symbol > 15) {
            throw std::runtime_error("run lengths are not expected here");
        }
        lengths.push_back(static_cast<uint32_t>(symbol));
    }
    return lengths;
}

void copy(std::string& out, size_t length, size_t distance) {
    if (distance > out.size()) {
        throw std::runtime_error("a copy from before the start");
    }
    for (size_t i = 0; i < length; ++i) {
        out += out[out.size() - distance];
    }
}

void read_block(Bits& bits, std::string& out) {
    constexpr std::array<size_t, 19> order{16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                           11, 4,  12, 3, 13, 2, 14, 1, 15};
    const size_t literal_count = bits.number(5) + 257;
    const size_t distance_count = bits.number(5) + 1;
    const size_t length_count = bits.number(4) + 4;
    std::vector<uint32_t> code_lengths(19, 0);
    for (size_t i = 0; i < length_count; ++i) {
        code_lengths[order[i]] = bits.number(3);
    }
    const auto lengths = read_lengths(bits, Code(code_lengths), literal_count + distance_count);
    const auto middle = lengths.begin() + static_cast<std::ptrdiff_t>(literal_count);
    const Code literals({lengths.begin(), middle});
    const Code distances({middle, lengths.end()});
    for (size_t symbol = literals.read(bits); symbol != 256; symbol = literals.read(bits)) {
        if (symbol < 256) {
            out += static_cast<char>(symbol);
            continue;
        }
        const size_t length =
            length_bases.at(symbol - 257) + bits.number(length_bits.at(symbol - 257));
        const size_t code = distances.read(bits);
        const int extra = code < 4 ? 0 : static_cast<int>(code) / 2 - 1;
        copy(out, length, distance_bases.at(code) + bits.number(extra));
    }
}

void check_sum(const std::string& data, std::string_view expected) {
    uint32_t a = 1;
    uint32_t b = 0;
    for (const char c : data) {
        a = (a + static_cast<unsigned char>(c)) % 65521;
        b = (b + a) % 65521;
    }
    uint32_t sum = 0;
    for (const char c : expected) {
        sum = sum << 8 | static_cast<unsigned char>(c);
    }
    if (expected.size() != 4 || sum != (b << 16 | a)) {
        throw std::runtime_error("the checksum is wrong");
    }
}

}  // namespace

std::string inflated(std::string_view stream) {
    const auto first = static_cast<unsigned char>(stream.at(0));
    const auto second = static_cast<unsigned char>(stream.at(1));
    if (first != 0x78 || (first * 256 + second) % 31 != 0) {
        throw std::runtime_error("no zlib stream");
    }
    Bits bits(stream.substr(2));
    std::string out;
    bool last = false;
    while (!last) {
        last = bits.next() == 1;
        if (bits.number(2) != 2) {
            throw std::runtime_error("only dynamic blocks are expected here");
        }
        read_block(bits, out);
    }
    check_sum(out, bits.rest());
    return out;
}

}  // namespace weft
