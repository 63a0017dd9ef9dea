#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weft {

// Values as JSON text, for the config files that weft writes. Texts hold no characters that JSON
// escapes: they are names out of weft's own tables.

std::string json(const std::string& text);
std::string json(const char* text);
std::string json(int64_t number);
std::string json(double number);  // the shortest text that reads back as the same number
std::string json(bool flag);
std::string json(const std::optional<int64_t>& number);  // null where there is none
/// null where `text` is empty.
std::string json_or_null(const std::string& text);

template <typename T>
std::string json_list(const std::vector<T>& values) {
    std::string text;
    for (const T& value : values) {
        text += (text.empty() ? "" : ", ") + json(T(value));
    }
    return "[" + text + "]";
}

/// An object with one key a line; the values are JSON text.
std::string json_object(const std::vector<std::pair<std::string, std::string>>& entries);

}  // namespace weft
