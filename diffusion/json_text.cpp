#include "diffusion/json_text.h"

#include <c10/util/StringUtil.h>

#include <array>
#include <charconv>

namespace weft {

std::string json(const std::string& text) {
    return '"' + text + '"';
}

std::string json(const char* text) {
    return json(std::string(text));
}

std::string json(int64_t number) {
    return std::to_string(number);
}

std::string json(double number) {
    std::array<char, 32> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    const std::string text(digits.data(), end);
    return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string json(bool flag) {
    return flag ? "true" : "false";
}

std::string json(const std::optional<int64_t>& number) {
    return number ? json(*number) : "null";
}

std::string json_or_null(const std::string& text) {
    return text.empty() ? "null" : json(text);
}

std::string json_object(const std::vector<std::pair<std::string, std::string>>& entries) {
    std::string text;
    for (const auto& [key, value] : entries) {
        text += c10::str(text.empty() ? "{\n" : ",\n", "  ", json(key), ": ", value);
    }
    return text + "\n}\n";
}

}  // namespace weft
