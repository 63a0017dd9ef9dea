#include "cli/report.h"

#include <cstdio>
#include <string>

namespace weft {
namespace {

bool flat(const Report& value) {
    return !value.is_object() && !(value.is_array() && !value.empty() && value[0].is_object());
}

// Reports are a few levels deep, as deep as the code that makes them.
// NOLINTNEXTLINE(misc-no-recursion)
std::string line_of(const Report& value) {
    if (value.is_string()) {
        return value.get<std::string>();
    }
    if (value.is_boolean()) {
        return value.get<bool>() ? "yes" : "no";
    }
    if (!value.is_array()) {
        return value.is_null() ? "unknown" : value.dump();
    }
    std::string line;
    for (const auto& item : value) {
        line += (line.empty() ? "" : ", ") + line_of(item);
    }
    return line.empty() ? "none" : line;
}

// NOLINTNEXTLINE(misc-no-recursion)
void print_text(const Report& report, int indent) {
    for (const auto& [key, value] : report.items()) {
        if (flat(value)) {
            std::printf("%*s%s: %s\n", indent, "", key.c_str(), line_of(value).c_str());
            continue;
        }
        std::printf("%*s%s:\n", indent, "", key.c_str());
        if (value.is_object()) {
            print_text(value, indent + 2);
            continue;
        }
        for (const auto& item : value) {
            print_text(item, indent + 2);
        }
    }
}

}  // namespace

void print_report(const Report& report, ReportStyle style) {
    if (style == ReportStyle::json) {
        // Names out of files may hold any bytes.
        const auto text = report.dump(2, ' ', false, Report::error_handler_t::replace);
        std::printf("%s\n", text.c_str());
    } else {
        print_text(report, 0);
    }
}

}  // namespace weft
