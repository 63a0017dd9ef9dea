#include "io/files/json_tree.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "io/files/error.h"
#include "io/files/text.h"

namespace weft {
namespace {

constexpr size_t max_levels = 64;
constexpr size_t max_values = size_t{1} << 20U;

// Sorts the members' indices by name and refuses a name that is there twice.
void index_names(JsonObject& object, const std::string& where) {
    const auto& members = object.members;
    object.by_name.resize(members.size());
    std::iota(object.by_name.begin(), object.by_name.end(), 0U);
    std::sort(object.by_name.begin(), object.by_name.end(),
              [&](uint32_t a, uint32_t b) { return members[a].first < members[b].first; });
    const auto twice = std::adjacent_find(
        object.by_name.begin(), object.by_name.end(),
        [&](uint32_t a, uint32_t b) { return members[a].first == members[b].first; });
    if (twice != object.by_name.end()) {
        throw Error(where,
                    c10::str("the name ", quoted_name(members[*twice].first), " is given twice"),
                    "the file is damaged or was made to mislead; fetch it again");
    }
}

// Builds the tree from the events of nlohmann's parser, which itself does not recurse.
class TreeBuilder {
  public:
    TreeBuilder(std::string_view text, const std::string& where) : text_(text), where_(where) {}

    bool null() { return add({}); }

    bool boolean(bool value) { return add({value}); }

    bool number_integer(int64_t value) { return add({value}); }

    bool number_unsigned(uint64_t value) {
        return value <= uint64_t{std::numeric_limits<int64_t>::max()}
                   ? add({static_cast<int64_t>(value)})
                   : add({static_cast<double>(value)});
    }

    bool number_float(double value, const std::string& /*text*/) { return add({value}); }

    bool string(std::string& value) { return add({std::move(value)}); }

    bool binary(std::vector<uint8_t>& /*value*/) { return false; }

    bool key(std::string& name) {
        levels_.back().name = std::move(name);
        return true;
    }

    bool start_object(size_t /*count*/) { return open(std::make_shared<JsonObject>()); }

    bool start_array(size_t /*count*/) { return open(std::make_shared<JsonList>()); }

    bool end_object() {
        const auto done = std::get<Object>(levels_.back().node);
        index_names(*done, where_);
        levels_.pop_back();
        return add({std::shared_ptr<const JsonObject>(done)});
    }

    bool end_array() {
        const auto done = std::get<List>(levels_.back().node);
        levels_.pop_back();
        return add({std::shared_ptr<const JsonList>(done)});
    }

    bool parse_error(size_t position, const std::string& /*token*/,
                     const nlohmann::json::exception& error) {
        const bool encoding = std::string_view(error.what()).find("UTF-8") != std::string::npos;
        const auto before = text_.substr(0, std::min(position, text_.size()));
        const auto line = std::count(before.begin(), before.end(), '\n') + 1;
        const auto column = before.size() - (before.rfind('\n') + 1);
        throw Error(where_,
                    c10::str(encoding ? "invalid UTF-8" : "broken JSON", " at line ", line,
                             ", column ", column),
                    "the file is damaged or cut off; fetch or write it again");
    }

    JsonValue take() { return std::move(root_); }

  private:
    using List = std::shared_ptr<JsonList>;
    using Object = std::shared_ptr<JsonObject>;

    struct Level {
        std::variant<List, Object> node;
        std::string name;  // of the member being read
    };

    bool open(std::variant<List, Object> node) {
        if (levels_.size() >= max_levels) {
            throw Error(where_, c10::str("JSON nested deeper than ", max_levels, " levels"),
                        "no model file needs that; fetch it again");
        }
        levels_.push_back({std::move(node), {}});
        return true;
    }

    bool add(JsonValue value) {
        if (++values_ > max_values) {
            throw Error(where_, c10::str("JSON with more than ", max_values, " values"),
                        "no model file needs that; fetch it again");
        }
        if (levels_.empty()) {
            root_ = std::move(value);
        } else if (const auto* object = std::get_if<Object>(&levels_.back().node)) {
            (*object)->members.emplace_back(std::move(levels_.back().name), std::move(value));
        } else {
            std::get<List>(levels_.back().node)->push_back(std::move(value));
        }
        return true;
    }

    std::string_view text_;
    const std::string& where_;
    std::vector<Level> levels_;
    JsonValue root_;
    size_t values_ = 0;
};

}  // namespace

const JsonValue* JsonObject::find(std::string_view name) const {
    const auto found =
        std::lower_bound(by_name.begin(), by_name.end(), name,
                         [&](uint32_t i, std::string_view n) { return members[i].first < n; });
    const bool exists = found != by_name.end() && members[*found].first == name;
    return exists ? &members[*found].second : nullptr;
}

const JsonList* JsonValue::list() const {
    const auto* list = std::get_if<std::shared_ptr<const JsonList>>(&value);
    return list != nullptr ? list->get() : nullptr;
}

const JsonObject* JsonValue::object() const {
    const auto* object = std::get_if<std::shared_ptr<const JsonObject>>(&value);
    return object != nullptr ? object->get() : nullptr;
}

std::string JsonValue::kind() const {
    constexpr std::array<const char*, 7> kinds{"null",   "true or false", "a number", "a number",
                                               "a text", "a list",        "an object"};
    return kinds.at(value.index());
}

namespace {

/// The length of an infinity, which JSON has not and Python writes (diffusers' scheduler configs:
/// "lambda_min_clipped": -Infinity), at the text's start; else 0.
size_t infinity_length(std::string_view text) {
    for (const std::string_view word : {"-Infinity", "Infinity"}) {
        if (text.starts_with(word)) {
            return word.size();
        }
    }
    return 0;
}

/// The document with null for infinities: no limit is set.
std::string without_infinities(std::string_view text) {
    std::string plain;
    plain.reserve(text.size());
    bool in_text = false;
    for (size_t i = 0; i < text.size(); ++i) {
        if (const size_t length = in_text ? 0 : infinity_length(text.substr(i)); length > 0) {
            plain += "null";
            i += length - 1;
            continue;
        }
        plain += text[i];
        if (text[i] == '"') {
            in_text = !in_text;
        } else if (in_text && text[i] == '\\' && i + 1 < text.size()) {
            plain += text[++i];
        }
    }
    return plain;
}

}  // namespace

std::shared_ptr<const JsonObject> parse_json(std::string_view text, const std::string& where) {
    // Configs are small; a large text is not copied.
    constexpr size_t config_bytes = size_t{1} << 20U;
    const bool copies = text.size() <= config_bytes && text.find("Infinity") != text.npos;
    const std::string plain = copies ? without_infinities(text) : std::string();
    const std::string_view parsed = copies ? std::string_view(plain) : text;
    TreeBuilder builder(parsed, where);
    nlohmann::json::sax_parse(parsed.begin(), parsed.end(), &builder);
    const JsonValue root = builder.take();
    if (root.object() == nullptr) {
        throw Error(where,
                    c10::str("holds ", root.kind(), " where a JSON object {...} is expected"));
    }
    return std::get<std::shared_ptr<const JsonObject>>(root.value);
}

std::string json_quoted(const std::string& text) {
    return nlohmann::json(text).dump();
}

}  // namespace weft
