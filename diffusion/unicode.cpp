#include "diffusion/unicode.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "diffusion/unicode_tables.h"

namespace weft {

namespace {

constexpr char32_t replacement = 0xFFFD;

// Hangul syllables are composed by arithmetic (Unicode Standard, section 3.12).
constexpr char32_t hangul_base = 0xAC00;
constexpr char32_t lead_base = 0x1100;
constexpr char32_t vowel_base = 0x1161;
constexpr char32_t tail_base = 0x11A7;
constexpr char32_t leads = 19;
constexpr char32_t vowels = 21;
constexpr char32_t tails = 28;
constexpr char32_t syllables = leads * vowels * tails;

// The first row whose run may hold `code`, of rows sorted by their last code point.
template <typename Row>
const Row* row_of(std::span<const Row> rows, char32_t code) {
    const auto found = std::lower_bound(rows.begin(), rows.end(), code,
                                        [](const Row& row, char32_t c) { return row.last < c; });
    return found != rows.end() && found->first <= code ? &*found : nullptr;
}

template <typename Row>
const Row* entry_of(std::span<const Row> rows, char32_t code) {
    const auto found = std::lower_bound(rows.begin(), rows.end(), code,
                                        [](const Row& row, char32_t c) { return row.code < c; });
    return found != rows.end() && found->code == code ? &*found : nullptr;
}

uint32_t combining_class(char32_t code) {
    const unicode::ClassRun* run = row_of(unicode::combining_classes(), code);
    return run != nullptr ? run->combining_class : 0;
}

void append_hangul(char32_t code, std::u32string& out) {
    const char32_t index = code - hangul_base;
    out.push_back(lead_base + index / (vowels * tails));
    out.push_back(vowel_base + index % (vowels * tails) / tails);
    if (index % tails != 0)
        out.push_back(tail_base + index % tails);
}

void append_decomposed(char32_t code, std::u32string& out) {
    std::u32string pending{code};  // what is left to take apart, the first last
    while (!pending.empty()) {
        const char32_t next = pending.back();
        pending.pop_back();
        if (next >= hangul_base && next < hangul_base + syllables) {
            append_hangul(next, out);
        } else if (const unicode::Single* single = entry_of(unicode::singles(), next)) {
            pending.push_back(single->to);
        } else if (const unicode::Pair* pair = entry_of(unicode::pairs(), next)) {
            pending.push_back(pair->second);
            pending.push_back(pair->first);
        } else {
            out.push_back(next);
        }
    }
}

// Sorts each run of combining marks by class, keeping equals in order.
void order_marks(std::u32string& text) {
    auto is_mark = [](char32_t code) { return combining_class(code) != 0; };
    auto begin = text.begin();
    while (begin != text.end()) {
        begin = std::find_if(begin, text.end(), is_mark);
        const auto end = std::find_if_not(begin, text.end(), is_mark);
        std::stable_sort(begin, end, [](char32_t a, char32_t b) {
            return combining_class(a) < combining_class(b);
        });
        begin = end;
    }
}

std::unordered_map<uint64_t, char32_t> composition_table() {
    std::unordered_map<uint64_t, char32_t> table;
    for (const unicode::Pair& pair : unicode::pairs())
        if (pair.composes != 0)
            table[uint64_t{pair.first} << 32 | pair.second] = pair.code;
    return table;
}

// The character that first and second make together; 0 where there is none.
char32_t composed(char32_t first, char32_t second) {
    if (first - lead_base < leads && second - vowel_base < vowels)
        return hangul_base + ((first - lead_base) * vowels + second - vowel_base) * tails;
    const char32_t index = first - hangul_base;
    if (index < syllables && index % tails == 0 && second - tail_base - 1 < tails - 1)
        return first + second - tail_base;
    static const std::unordered_map<uint64_t, char32_t> table = composition_table();
    const auto found = table.find(uint64_t{first} << 32 | second);
    return found != table.end() ? found->second : 0;
}

// UAX 15, rule D117: a character joins the last starter unless a mark of its class or above, or
// another starter, stands between.
std::u32string compose(const std::u32string& text) {
    std::u32string out;
    size_t starter = std::u32string::npos;
    uint32_t last_class = 0;
    for (const char32_t code : text) {
        const uint32_t own_class = combining_class(code);
        const bool adjacent = starter != std::u32string::npos && starter + 1 == out.size();
        const bool blocked = !adjacent && last_class >= own_class;
        if (starter != std::u32string::npos && !blocked) {
            if (const char32_t joined = composed(out[starter], code)) {
                out[starter] = joined;
                continue;
            }
        }
        if (own_class == 0)
            starter = out.size();
        last_class = own_class;
        out += code;
    }
    return out;
}

// How many bytes a sequence has by its first byte, and which second bytes are allowed (Unicode
// Standard, table 3-7).
struct Lead {
    int size;
    unsigned char low;
    unsigned char high;
};

Lead lead_of(unsigned char byte) {
    if (byte < 0x80)
        return {1, 0, 0};
    if (byte < 0xC2 || byte > 0xF4)
        return {0, 0, 0};
    if (byte < 0xE0)
        return {2, 0x80, 0xBF};
    if (byte < 0xF0)
        return {3, static_cast<unsigned char>(byte == 0xE0 ? 0xA0 : 0x80),
                static_cast<unsigned char>(byte == 0xED ? 0x9F : 0xBF)};
    return {4, static_cast<unsigned char>(byte == 0xF0 ? 0x90 : 0x80),
            static_cast<unsigned char>(byte == 0xF4 ? 0x8F : 0xBF)};
}

// Takes one sequence, or the maximal part of a broken one, off the front of `bytes`.
char32_t take_code(std::string_view& bytes) {
    const auto first = static_cast<unsigned char>(bytes.front());
    const Lead lead = lead_of(first);
    bytes.remove_prefix(1);
    if (lead.size <= 1)
        return lead.size == 1 ? first : replacement;
    constexpr std::array<unsigned char, 5> payload{0, 0, 0x1F, 0x0F, 0x07};
    char32_t code = first & payload[static_cast<size_t>(lead.size)];
    for (int i = 1; i < lead.size; ++i) {
        const auto next = bytes.empty() ? 0 : static_cast<unsigned char>(bytes.front());
        const int low = i == 1 ? lead.low : 0x80;
        const int high = i == 1 ? lead.high : 0xBF;
        if (next < low || next > high)
            return replacement;
        code = code << 6 | (next & 0x3FU);
        bytes.remove_prefix(1);
    }
    return code;
}

}  // namespace

std::u32string decode_utf8(std::string_view bytes) {
    std::u32string text;
    text.reserve(bytes.size());
    while (!bytes.empty()) text += take_code(bytes);
    return text;
}

void append_utf8(char32_t code, std::string& bytes) {
    auto tail = [&](int shift) { bytes += static_cast<char>(0x80 | (code >> shift & 0x3F)); };
    if (code < 0x80) {
        bytes += static_cast<char>(code);
    } else if (code < 0x800) {
        bytes += static_cast<char>(0xC0 | code >> 6);
        tail(0);
    } else if (code < 0x10000) {
        bytes += static_cast<char>(0xE0 | code >> 12);
        tail(6);
        tail(0);
    } else {
        bytes += static_cast<char>(0xF0 | code >> 18);
        tail(12);
        tail(6);
        tail(0);
    }
}

std::string encode_utf8(std::u32string_view text) {
    std::string bytes;
    for (const char32_t code : text) append_utf8(code, bytes);
    return bytes;
}

std::u32string nfc(std::u32string_view text) {
    std::u32string decomposed;
    for (const char32_t code : text) append_decomposed(code, decomposed);
    order_marks(decomposed);
    return compose(decomposed);
}

std::u32string lower_case(std::u32string_view text) {
    constexpr char32_t dotted_capital_i = 0x130;  // the only one that becomes two characters
    std::u32string out;
    for (const char32_t code : text) {
        const unicode::LowerRun* run = row_of(unicode::lower_runs(), code);
        if (code == dotted_capital_i)
            out += U"i\u0307";
        else if (run != nullptr && (code - run->first) % run->stride == 0)
            out += code + static_cast<char32_t>(run->delta);
        else
            out += code;
    }
    return out;
}

bool is_letter(char32_t code) {
    return row_of(unicode::letters(), code) != nullptr;
}

bool is_number(char32_t code) {
    return row_of(unicode::numbers(), code) != nullptr;
}

bool is_space(char32_t code) {
    constexpr std::array<unicode::Range, 10> spaces{{{9, 13},
                                                     {0x20, 0x20},
                                                     {0x85, 0x85},
                                                     {0xA0, 0xA0},
                                                     {0x1680, 0x1680},
                                                     {0x2000, 0x200A},
                                                     {0x2028, 0x2029},
                                                     {0x202F, 0x202F},
                                                     {0x205F, 0x205F},
                                                     {0x3000, 0x3000}}};
    return row_of(std::span<const unicode::Range>(spaces), code) != nullptr;
}

}  // namespace weft
