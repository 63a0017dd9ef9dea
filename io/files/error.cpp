#include "io/files/error.h"

#include <algorithm>

#include "io/files/text.h"

namespace weft {
namespace {

constexpr size_t max_name_bytes = 160;

// UTF-8 continuation bytes are 10xxxxxx.
bool is_continuation(char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

// Appends `part` after `separator`, or alone where there is nothing to separate it from.
void append(std::string& text, std::string_view separator, const std::string& part) {
    if (!part.empty() && !text.empty()) {
        text += separator;
    }
    text += part;
}

std::string line(const std::string& thing, const std::string& cause, const std::string& way_out) {
    std::string text;
    if (!thing.empty()) {
        text.append(1, '\'').append(printable(thing, false)).append(1, '\'');
    }
    append(text, ": ", printable(cause, true));
    append(text, "; ", printable(way_out, true));
    return text;
}

}  // namespace

std::string printable(std::string_view text, bool keep_lines) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '\n' && !keep_lines) {
            out += "\\n";
        } else if ((byte < 0x20 && c != '\n') || byte == 0x7F) {
            out += "\\x";
            out += digits[byte >> 4U];
            out += digits[byte & 15U];
        } else {
            out += c;
        }
    }
    return out;
}

std::string quoted_name(std::string_view name) {
    size_t end = std::min(name.size(), max_name_bytes);
    while (end > 0 && end < name.size() && is_continuation(name[end])) {
        --end;
    }
    std::string text(1, '\'');
    text += printable(name.substr(0, end), false);
    text += end < name.size() ? "...'" : "'";
    return text;
}

Error::Error(const std::string& thing, const std::string& cause, const std::string& way_out)
    : std::runtime_error(line(thing, cause, way_out)) {}

}  // namespace weft
