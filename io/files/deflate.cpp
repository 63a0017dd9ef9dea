#include "io/files/deflate.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <utility>
#include <vector>

namespace weft {
namespace {

constexpr size_t window_bytes = 32768;
constexpr size_t min_match = 3;
constexpr size_t max_match = 258;
constexpr int max_tries = 32;  // earlier places looked at for one match
constexpr size_t block_tokens = 65536;

constexpr size_t end_of_block = 256;
constexpr size_t literal_symbols = 286;
constexpr size_t distance_symbols = 30;

// A byte, or a copy of `length` bytes from `distance` back.
struct Token {
    uint16_t length = 0;  // 0: `byte` counts
    uint16_t distance = 0;
    uint8_t byte = 0;
};

// A symbol of RFC 1951, section 3.2.5, with the bits that follow it.
struct Symbol {
    size_t code;
    uint32_t extra;
    int extra_bits;
};

// Both tables of that section have groups of codes that share a number of extra bits, each group
// twice as wide as the one before: 4 codes a group for lengths, 2 for distances.
Symbol grouped(uint32_t value, int codes_log2) {
    const int top = std::bit_width(value) - 1;
    if (top <= codes_log2) {
        return {value, 0, 0};
    }
    const int extra_bits = top - codes_log2;
    const uint32_t inside = (value >> static_cast<uint32_t>(extra_bits)) - (1U << codes_log2);
    const size_t code =
        (static_cast<size_t>(extra_bits + 1) << static_cast<uint32_t>(codes_log2)) + inside;
    return {code, value & ((1U << static_cast<uint32_t>(extra_bits)) - 1), extra_bits};
}

Symbol length_symbol(size_t length) {
    if (length == max_match) {
        return {285, 0, 0};
    }
    Symbol symbol = grouped(static_cast<uint32_t>(length - min_match), 2);
    symbol.code += 257;
    return symbol;
}

Symbol distance_symbol(size_t distance) {
    return grouped(static_cast<uint32_t>(distance - 1), 1);
}

// Bits from the lowest up, as RFC 1951 packs them.
class BitWriter {
  public:
    void put(uint32_t value, int bits) {
        pending_ |= uint64_t{value} << static_cast<uint32_t>(count_);
        count_ += bits;
        for (; count_ >= 8; count_ -= 8) {
            bytes_ += static_cast<char>(pending_);
            pending_ >>= 8U;
        }
    }

    std::string take() {
        put(0, (8 - count_) % 8);
        return std::move(bytes_);
    }

  private:
    std::string bytes_;
    uint64_t pending_ = 0;
    int count_ = 0;
};

// Depth of each leaf in Huffman's tree over the symbols with a count; at least two must have one.
std::vector<int> tree_depths(const std::vector<uint64_t>& counts) {
    using Node = std::pair<uint64_t, size_t>;  // count, index
    std::priority_queue<Node, std::vector<Node>, std::greater<>> open;
    std::vector<size_t> parent(counts.size() * 2, 0);
    for (size_t i = 0; i < counts.size(); ++i) {
        if (counts[i] > 0) {
            open.emplace(counts[i], i);
        }
    }
    size_t next = counts.size();
    for (; open.size() > 1; ++next) {
        const Node a = open.top();
        open.pop();
        const Node b = open.top();
        open.pop();
        parent[a.second] = parent[b.second] = next;
        open.emplace(a.first + b.first, next);
    }
    // A parent stands after its children, so the depths follow from the root down.
    std::vector<int> depths(next, 0);
    for (size_t i = next - 1; i-- > 0;) {
        depths[i] = i >= counts.size() || counts[i] > 0 ? depths[parent[i]] + 1 : 0;
    }
    depths.resize(counts.size());
    return depths;
}

// Canonical codes (RFC 1951, section 3.2.2) of at most `max_bits`, ready to be written lowest bit
// first.
class HuffmanCode {
  public:
    HuffmanCode(std::vector<uint64_t> counts, int max_bits) {
        // Two used symbols make every tree complete.
        counts[0] = std::max<uint64_t>(counts[0], 1);
        counts[1] = std::max<uint64_t>(counts[1], 1);
        bits_ = tree_depths(counts);
        // Flatter counts give flatter trees.
        while (*std::max_element(bits_.begin(), bits_.end()) > max_bits) {
            for (uint64_t& count : counts) {
                count = (count + 1) / 2;
            }
            bits_ = tree_depths(counts);
        }
        number();
    }

    void put(BitWriter& out, size_t symbol) const { out.put(codes_[symbol], bits_[symbol]); }

    const std::vector<int>& bits() const { return bits_; }

  private:
    void number() {
        codes_.assign(bits_.size(), 0);
        uint32_t code = 0;
        for (int length = 1; length <= 15; ++length) {
            code <<= 1U;
            for (size_t i = 0; i < bits_.size(); ++i) {
                if (bits_[i] == length) {
                    codes_[i] = reversed(code++, length);
                }
            }
        }
    }

    static uint32_t reversed(uint32_t code, int bits) {
        uint32_t result = 0;
        for (int i = 0; i < bits; ++i) {
            result = result << 1U | (code >> static_cast<uint32_t>(i) & 1U);
        }
        return result;
    }

    std::vector<int> bits_;
    std::vector<uint32_t> codes_;
};

// Finds repeats by chains of places whose next three bytes hash alike.
class Matcher {
  public:
    explicit Matcher(std::string_view data)
        : data_(data), heads_(window_bytes, -1), before_(data.size(), -1) {}

    // The longest earlier match for what starts at `place`; length 0 where there is none.
    Token find(size_t place) const {
        Token best;
        if (place + min_match > data_.size()) {
            return best;
        }
        const size_t limit = std::min(max_match, data_.size() - place);
        int64_t other = heads_[hash(place)];
        for (int tries = 0; tries < max_tries && other >= 0 && best.length < limit; ++tries) {
            const size_t distance = place - static_cast<size_t>(other);
            if (distance > window_bytes) {
                break;
            }
            const size_t length = common(static_cast<size_t>(other), place, limit);
            if (length >= min_match && length > best.length) {
                best.length = static_cast<uint16_t>(length);
                best.distance = static_cast<uint16_t>(distance);
            }
            other = before_[static_cast<size_t>(other)];
        }
        return best;
    }

    void add(size_t place) {
        if (place + min_match <= data_.size()) {
            before_[place] = std::exchange(heads_[hash(place)], static_cast<int32_t>(place));
        }
    }

  private:
    size_t hash(size_t place) const {
        uint32_t word = 0;
        for (size_t i = 0; i < min_match; ++i) {
            word = word << 8U | static_cast<unsigned char>(data_[place + i]);
        }
        return (word * 2654435761U) >> 17U;  // 15 bits
    }

    size_t common(size_t a, size_t b, size_t limit) const {
        size_t length = 0;
        while (length < limit && data_[a + length] == data_[b + length]) {
            ++length;
        }
        return length;
    }

    std::string_view data_;
    std::vector<int32_t> heads_;
    std::vector<int32_t> before_;
};

std::vector<Token> tokens_of(std::string_view data) {
    std::vector<Token> tokens;
    Matcher matcher(data);
    for (size_t place = 0; place < data.size();) {
        Token token = matcher.find(place);
        token.byte = static_cast<uint8_t>(data[place]);
        const size_t length = std::max<size_t>(token.length, 1);
        for (size_t i = 0; i < length; ++i) {
            matcher.add(place++);
        }
        tokens.push_back(token);
    }
    return tokens;
}

using TokenRange = std::pair<const Token*, const Token*>;

// Section 3.2.7: how long the codes of both alphabets are, in a code of its own without run
// lengths.
void put_code_lengths(BitWriter& out, const HuffmanCode& literals, const HuffmanCode& distances) {
    constexpr std::array<size_t, 19> order{16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                           11, 4,  12, 3, 13, 2, 14, 1, 15};
    std::vector<int> lengths = literals.bits();
    lengths.insert(lengths.end(), distances.bits().begin(), distances.bits().end());
    std::vector<uint64_t> counts(order.size(), 0);
    for (const int length : lengths) {
        ++counts[static_cast<size_t>(length)];
    }
    const HuffmanCode code(counts, 7);
    out.put(literal_symbols - 257, 5);
    out.put(distance_symbols - 1, 5);
    out.put(order.size() - 4, 4);
    for (const size_t symbol : order) {
        out.put(static_cast<uint32_t>(code.bits()[symbol]), 3);
    }
    for (const int length : lengths) {
        code.put(out, static_cast<size_t>(length));
    }
}

// One block with dynamic codes (section 3.2.7).
void put_block(BitWriter& out, TokenRange range, bool last) {
    std::vector<uint64_t> literal_counts(literal_symbols, 0);
    std::vector<uint64_t> distance_counts(distance_symbols, 0);
    literal_counts[end_of_block] = 1;
    for (const Token* token = range.first; token != range.second; ++token) {
        if (token->length == 0) {
            ++literal_counts[token->byte];
        } else {
            ++literal_counts[length_symbol(token->length).code];
            ++distance_counts[distance_symbol(token->distance).code];
        }
    }
    const HuffmanCode literals(literal_counts, 15);
    const HuffmanCode distances(distance_counts, 15);
    out.put(last ? 1 : 0, 1);
    out.put(2, 2);
    put_code_lengths(out, literals, distances);
    for (const Token* token = range.first; token != range.second; ++token) {
        if (token->length == 0) {
            literals.put(out, token->byte);
            continue;
        }
        const Symbol length = length_symbol(token->length);
        literals.put(out, length.code);
        out.put(length.extra, length.extra_bits);
        const Symbol distance = distance_symbol(token->distance);
        distances.put(out, distance.code);
        out.put(distance.extra, distance.extra_bits);
    }
    literals.put(out, end_of_block);
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

}  // namespace

std::string zlib_compressed(std::string_view data) {
    TORCH_CHECK(data.size() <= std::numeric_limits<int32_t>::max(),
                "too long to compress: ", data.size());
    const auto tokens = tokens_of(data);
    BitWriter out;
    out.put(0x78, 8);  // deflate with a window of 32 KiB
    out.put(0x9C, 8);
    size_t begin = 0;
    do {
        const size_t end = std::min(begin + block_tokens, tokens.size());
        put_block(out, {tokens.data() + begin, tokens.data() + end}, end == tokens.size());
        begin = end;
    } while (begin < tokens.size());
    std::string stream = out.take();
    const uint32_t sum = adler32(data);
    for (const uint32_t shift : {24U, 16U, 8U, 0U}) {
        stream += static_cast<char>(sum >> shift);
    }
    return stream;
}

}  // namespace weft
