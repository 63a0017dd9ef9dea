#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace weft {

struct JsonObject;
struct JsonValue;

using JsonList = std::vector<JsonValue>;

/// One value of a JSON text. Whole numbers that fit are int64_t, all others double.
struct JsonValue {
    std::variant<std::monostate, bool, int64_t, double, std::string,
                 std::shared_ptr<const JsonList>, std::shared_ptr<const JsonObject>>
        value;

    /// nullptr where the value is no list / no object.
    const JsonList* list() const;
    const JsonObject* object() const;
    /// "null", "true or false", "a number", "a text", "a list", "an object".
    std::string kind() const;
};

/// Members in file order, found by name in logarithmic time.
struct JsonObject {
    std::vector<std::pair<std::string, JsonValue>> members;
    std::vector<uint32_t> by_name;  // indices into members, sorted by name

    /// nullptr where there is no such member.
    const JsonValue* find(std::string_view name) const;
};

/// Parses a whole JSON text whose root is an object. Throws Error naming `where` on broken JSON,
/// invalid UTF-8, a name given twice in one object, more than 64 levels, or more than 2^20 values
/// (which bounds the memory a hostile file can take). Thread-safe: yes.
std::shared_ptr<const JsonObject> parse_json(std::string_view text, const std::string& where);

/// `text` as a JSON string with its quotes.
std::string json_quoted(const std::string& text);

}  // namespace weft
