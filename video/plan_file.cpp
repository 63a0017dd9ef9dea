#include "video/plan_file.h"

#include <c10/util/StringUtil.h>

#include <toml++/toml.h>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>

#include "io/files/error.h"
#include "io/files/whole_file.h"

namespace weft {
namespace {

constexpr std::string_view schema_key = "weft_plan";
constexpr int64_t max_plan_bytes = 1 << 20;

/// Collects problems of one file with their lines.
class Reporter {
  public:
    Reporter(std::string where, Problems& problems)
        : where_(std::move(where)), problems_(problems) {}

    void add(const toml::source_region& place, const std::string& key, const std::string& problem) {
        const auto subject = key.empty() ? std::string() : key + ": ";
        problems_.push_back(c10::str(where_, ":", place.begin.line, ": ", subject, problem));
    }

  private:
    std::string where_;
    Problems& problems_;
};

std::optional<PlanValue> scalar(const toml::node& node) {
    if (const auto text = node.value_exact<std::string>()) {
        return PlanValue(*text);
    }
    if (const auto whole = node.value_exact<int64_t>()) {
        return PlanValue(*whole);
    }
    if (const auto number = node.value_exact<double>()) {
        return PlanValue(*number);
    }
    return std::nullopt;
}

/// Reads [ { at = S, value = V }, ... ]; nullopt, with a problem reported, where it is not that.
template <class T>
std::optional<Curve<T>> curve(const toml::array& list) {
    Curve<T> result;
    for (const toml::node& node : list) {
        const toml::table* key = node.as_table();
        if (key == nullptr || key->size() != 2) {
            return std::nullopt;
        }
        const auto at_s = (*key)["at"].value<double>();
        const auto value = (*key)["value"].value<T>();
        if (!at_s || !value) {
            return std::nullopt;
        }
        result.keys.push_back({*at_s, *value});
    }
    return result;
}

/// Reads [ "a", "b" ]; nullopt where it is not that.
std::optional<std::vector<std::string>> texts(const toml::array& list) {
    std::vector<std::string> result;
    for (const toml::node& node : list) {
        const auto text = node.value_exact<std::string>();
        if (!text) {
            return std::nullopt;
        }
        result.push_back(*text);
    }
    return result;
}

/// The node as the field's kind of value; nullopt where no field could hold it.
std::optional<PlanValue> plan_value(const PlanField& field, const toml::node& node) {
    const toml::array* list = node.as_array();
    if (list == nullptr) {
        return scalar(node);
    }
    if (std::holds_alternative<Curve<double> Plan::*>(field.member)) {
        return curve<double>(*list);
    }
    if (std::holds_alternative<Curve<std::string> Plan::*>(field.member)) {
        return curve<std::string>(*list);
    }
    if (std::holds_alternative<std::vector<std::string> Plan::*>(field.member)) {
        return texts(*list);
    }
    return std::nullopt;
}

void read_field(const PlanField& field, const toml::node& node, Plan& plan, Reporter& reporter) {
    const auto value = plan_value(field, node);
    const auto problem =
        value
            ? assign(field, plan, *value)
            : "write one value or, where it may change over time, [ { at = SECONDS, value = V } ], "
              "or where there may be several, [ \"a\", \"b\" ]";
    if (!problem.empty()) {
        reporter.add(node.source(), field.key, problem);
    }
}

const PlanField* find_field(std::string_view key) {
    for (const PlanField& field : plan_fields()) {
        if (key == field.key) {
            return &field;
        }
    }
    return nullptr;
}

void check_schema(const toml::table& table, Reporter& reporter) {
    const toml::node* node = table.get(schema_key);
    if (node == nullptr) {
        reporter.add(
            table.source(), "",
            c10::str("no plan: the line '", schema_key, " = ", plan_schema, "' is missing"));
    } else if (node->value_exact<int64_t>() != plan_schema) {
        reporter.add(node->source(), std::string(schema_key),
                     c10::str("this weft reads version ", plan_schema));
    }
}

std::string known_keys() {
    std::string keys;
    for (const PlanField& field : plan_fields()) {
        keys += (keys.empty() ? "" : ", ") + std::string(field.key);
    }
    return keys;
}

/// The shortest text that reads back as the same number.
std::string number_text(double number) {
    std::array<char, 32> buffer{};
    const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number);
    return {buffer.data(), result.ptr};
}

std::string toml_text(const std::string& text) {
    std::ostringstream out;
    out << toml::value<std::string>(text);
    return out.str();
}

struct Writer {
    std::string operator()(const std::string& text) const { return toml_text(text); }

    std::string operator()(double number) const { return number_text(number); }

    std::string operator()(int64_t number) const { return std::to_string(number); }

    std::string operator()(const std::vector<std::string>& list) const {
        std::string out;
        for (const auto& text : list) {
            out += c10::str(out.empty() ? "[ " : ", ", toml_text(text));
        }
        return out + " ]";
    }

    template <class T>
    std::string operator()(const Curve<T>& curve) const {
        if (curve.keys.size() == 1 && curve.keys.front().at_s == 0) {
            return (*this)(curve.keys.front().value);
        }
        std::string list = "[";
        for (const auto& key : curve.keys) {
            list += c10::str(list.size() > 1 ? ", " : " ", "{ at = ", number_text(key.at_s),
                             ", value = ", (*this)(key.value), " }");
        }
        return list + " ]";
    }
};

}  // namespace

PlanReading parse_plan(const std::string& text, const std::string& where) {
    PlanReading reading;
    Reporter reporter(where, reading.problems);
    toml::table table;
    try {
        table = toml::parse(text, where);
    } catch (const toml::parse_error& error) {
        reporter.add(error.source(), "", std::string(error.description()));
        return reading;
    }
    check_schema(table, reporter);
    for (const auto& [key, node] : table) {
        if (key.str() == schema_key) {
            continue;
        }
        if (const PlanField* field = find_field(key.str())) {
            read_field(*field, node, reading.plan, reporter);
        } else {
            reporter.add(node.source(), std::string(key.str()),
                         "unknown key; known: " + known_keys());
        }
    }
    return reading;
}

PlanReading read_plan(const std::filesystem::path& path) {
    std::error_code failed;
    const auto bytes = std::filesystem::file_size(path, failed);
    if (failed) {
        throw Error(path.string(), "cannot read the plan: " + failed.message(), "check the path");
    }
    if (bytes > max_plan_bytes) {
        throw Error(path.string(), "is too large for a plan", "plans are text of at most 1 MB");
    }
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file) {
        throw Error(path.string(), "cannot read the plan", "check its permissions");
    }
    return parse_plan(text, path.string());
}

std::string to_toml(const Plan& plan) {
    std::string text = c10::str(schema_key, " = ", plan_schema, "\n");
    for (const PlanField& field : plan_fields()) {
        if (const auto value = value_of(field, plan)) {
            text += c10::str(field.key, " = ", std::visit(Writer{}, *value), "\n");
        }
    }
    return text;
}

void save_plan(const std::filesystem::path& path, const Plan& plan) {
    WholeFile file(path);
    file.write(to_toml(plan));
    file.commit();
}

}  // namespace weft
