#include "io/files/config.h"

#include <c10/util/StringUtil.h>

#include <cmath>
#include <utility>

#include "io/files/error.h"
#include "io/files/json_tree.h"
#include "io/files/regular_file.h"
#include "io/files/text.h"

namespace weft {

struct Config::Node {
    std::shared_ptr<const JsonObject> object;
    std::string where;
    std::string prefix;  // "text_config." inside that object

    std::string name(const std::string& key) const { return quoted_name(prefix + key); }

    // nullptr where the key is missing or null.
    const JsonValue* find(const std::string& key) const {
        const JsonValue* found = object->find(key);
        return found != nullptr && !std::holds_alternative<std::monostate>(found->value) ? found
                                                                                         : nullptr;
    }

    const JsonValue& need(const std::string& key) const {
        if (const JsonValue* found = find(key)) {
            return *found;
        }
        throw Error(where, c10::str("has no ", name(key)),
                    "the file is incomplete or of another kind of model");
    }

    [[noreturn]] void wrong(const std::string& key, const std::string& expected,
                            const JsonValue& got) const {
        throw Error(where, c10::str(name(key), " is ", got.kind(), ", expected ", expected));
    }

    template <typename T>
    const T& as(const std::string& key, const std::string& expected) const {
        const JsonValue& found = need(key);
        const T* value = std::get_if<T>(&found.value);
        if (value == nullptr) {
            wrong(key, expected, found);
        }
        return *value;
    }

    const JsonList& list(const std::string& key, const std::string& expected) const {
        return *as<std::shared_ptr<const JsonList>>(key, expected);
    }

    double number(const std::string& key, const JsonValue& from, Range range) const {
        double value = 0;
        if (const auto* whole = std::get_if<int64_t>(&from.value)) {
            value = static_cast<double>(*whole);
        } else if (const auto* real = std::get_if<double>(&from.value)) {
            value = *real;
        } else {
            wrong(key, "a number", from);
        }
        if (!(value >= range.low && value <= range.high)) {
            throw Error(where, c10::str(name(key), " is ", value, ", expected ", range.low, " to ",
                                        range.high));
        }
        return value;
    }

    int64_t integer(const std::string& key, const JsonValue& from, Range range) const {
        const double value = number(key, from, range);
        if (const auto* whole = std::get_if<int64_t>(&from.value)) {
            return *whole;
        }
        if (std::trunc(value) != value || std::abs(value) > 9e15) {
            throw Error(where, c10::str(name(key), " is ", value, ", expected a whole number"));
        }
        return static_cast<int64_t>(value);
    }
};

Config::Config() : node_(std::make_shared<Node>(Node{std::make_shared<JsonObject>(), "", ""})) {}

Config Config::read(const std::filesystem::path& path, int64_t max_bytes) {
    const RegularFile file(path);
    if (file.size_bytes() > max_bytes) {
        throw Error(path.string(), c10::str("has ", file.size_bytes(), " bytes, more than the ",
                                            max_bytes, " a JSON file may have here"));
    }
    return parse(file.head(file.size_bytes()), path.string());
}

Config Config::parse(const std::string& text, const std::string& where) {
    Config config;
    config.node_ = std::make_shared<Node>(Node{parse_json(text, where), where, ""});
    return config;
}

bool Config::has(const std::string& key) const {
    return node_->find(key) != nullptr;
}

int64_t Config::integer(const std::string& key, Range range,
                        std::optional<int64_t> otherwise) const {
    return otherwise && !has(key) ? *otherwise : node_->integer(key, node_->need(key), range);
}

double Config::number(const std::string& key, Range range, std::optional<double> otherwise) const {
    return otherwise && !has(key) ? *otherwise : node_->number(key, node_->need(key), range);
}

bool Config::flag(const std::string& key, std::optional<bool> otherwise) const {
    return otherwise && !has(key) ? *otherwise : node_->as<bool>(key, "true or false");
}

std::string Config::text(const std::string& key,
                         const std::optional<std::string>& otherwise) const {
    return otherwise && !has(key) ? *otherwise : node_->as<std::string>(key, "a text");
}

std::vector<int64_t> Config::integers(const std::string& key, Range range, int64_t repeat) const {
    const JsonValue& found = node_->need(key);
    std::vector<int64_t> values;
    if (!is_list(key)) {
        values.assign(static_cast<size_t>(repeat), node_->integer(key, found, range));
        return values;
    }
    for (const JsonValue& item : *found.list()) {
        // A list of flags reads as ones and zeros.
        const bool* flag = std::get_if<bool>(&item.value);
        const JsonValue number{flag != nullptr ? JsonValue{int64_t{*flag ? 1 : 0}} : item};
        values.push_back(node_->integer(key, number, range));
    }
    return values;
}

std::vector<double> Config::numbers(const std::string& key, Range range) const {
    std::vector<double> values;
    for (const JsonValue& item : node_->list(key, "a list of numbers")) {
        values.push_back(node_->number(key, item, range));
    }
    return values;
}

std::vector<std::string> Config::texts(const std::string& key) const {
    std::vector<std::string> values;
    for (const JsonValue& item : node_->list(key, "a list of texts")) {
        const auto* text = std::get_if<std::string>(&item.value);
        if (text == nullptr) {
            node_->wrong(key, "a list of texts only", item);
        }
        values.push_back(*text);
    }
    return values;
}

Config Config::object(const std::string& key) const {
    Config inner;
    auto node = std::make_shared<Node>(
        Node{std::make_shared<JsonObject>(), node_->where, node_->prefix + key + "."});
    if (has(key)) {
        node->object = node_->as<std::shared_ptr<const JsonObject>>(key, "an object");
    }
    inner.node_ = std::move(node);
    return inner;
}

std::vector<std::string> Config::keys() const {
    std::vector<std::string> names;
    names.reserve(node_->object->members.size());
    for (const auto& [name, value] : node_->object->members) {
        names.push_back(name);
    }
    return names;
}

bool Config::is_list(const std::string& key) const {
    const JsonValue* found = node_->find(key);
    return found != nullptr && found->list() != nullptr;
}

bool Config::is_text(const std::string& key) const {
    const JsonValue* found = node_->find(key);
    return found != nullptr && std::holds_alternative<std::string>(found->value);
}

const std::string& Config::where() const {
    return node_->where;
}

}  // namespace weft
