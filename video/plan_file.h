#pragma once

#include <filesystem>
#include <string>

#include "video/plan.h"

namespace weft {

/// Version of the plan file's layout, its key `weft_plan`. Files of a newer one are refused.
constexpr int64_t plan_schema = 1;

/// What a plan file says, and everything that is wrong with it (syntax, unknown keys, types,
/// ranges), each as "FILE:LINE: KEY: what". Fields with problems stay unset.
struct PlanReading {
    Plan plan;
    Problems problems;
};

/// Reads a TOML plan (at most 1 MB):
///
///     weft_plan = 1
///     prompt = "watercolor painting"
///     strength = [ { at = 0, value = 0.2 }, { at = 2.5, value = 1 } ]   # curves: seconds, value
///
/// Keys are those of plan_fields(). Throws Error where the file cannot be read.
PlanReading read_plan(const std::filesystem::path& path);
/// The same from text; `where` names it in problems.
PlanReading parse_plan(const std::string& text, const std::string& where);

/// The plan as TOML, fields that are set in the order of plan_fields(). parse_plan gives it back.
std::string to_toml(const Plan& plan);

/// Writes to_toml to a file, replacing an existing one, whole or not at all.
void save_plan(const std::filesystem::path& path, const Plan& plan);

}  // namespace weft
