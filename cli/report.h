#pragma once

#include <nlohmann/json.hpp>

namespace weft {

/// What inspect and doctor print: keys in the order they were set.
using Report = nlohmann::ordered_json;

/// How a report is printed.
enum class ReportStyle { text, json };

/// Prints to stdout: JSON, or "key: value" lines with nested parts indented.
void print_report(const Report& report, ReportStyle style);

}  // namespace weft
