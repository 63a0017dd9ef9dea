#include "video/plan.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "diffusion/adapter_choice.h"
#include "diffusion/guidance_interval.h"
#include "diffusion/prediction_names.h"
#include "diffusion/samplers.h"
#include "io/files/error.h"
#include "io/media/inspect.h"
#include "io/media/picture_map.h"
#include "io/media/time.h"
#include "temporal/noise.h"
#include "video/in_between.h"
#include "video/plan_lora.h"

namespace weft {
namespace {

std::string out_of_range(double number, const Range& range) {
    if (number >= range.low && number <= range.high) {  // false for NaN
        return {};
    }
    return c10::str("must be from ", range.low, " to ", range.high, ", not ", number);
}

template <class T>
std::string first_problem(const PlanField& field, const T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
        return field.problem == nullptr ? std::string() : field.problem(value);
    } else {
        return out_of_range(static_cast<double>(value), field.range);
    }
}

template <class T>
std::string first_problem(const PlanField& field, const Curve<T>& curve) {
    double last_s = -1;
    for (const auto& key : curve.keys) {
        if (!(key.at_s >= 0) || key.at_s <= last_s) {
            return c10::str("key times must be 0 or more and rise; ", key.at_s, " does not");
        }
        last_s = key.at_s;
        if (auto problem = first_problem(field, key.value); !problem.empty()) {
            return problem;
        }
    }
    return curve.empty() ? "needs at least one key" : std::string();
}

template <>
std::string first_problem(const PlanField& field, const std::vector<std::string>& list) {
    for (const auto& text : list) {
        if (auto problem = first_problem(field, text); !problem.empty()) {
            return problem;
        }
    }
    return list.empty() ? "needs at least one entry" : std::string();
}

/// Converts what was written to what the member holds: a whole number serves as a number, a
/// constant as a curve. nullopt: they do not fit.
template <class To>
std::optional<To> converted(const PlanValue& value) {
    if (const auto* same = std::get_if<To>(&value)) {
        return *same;
    }
    if constexpr (std::is_same_v<To, double>) {
        if (const auto* whole = std::get_if<int64_t>(&value)) {
            return static_cast<double>(*whole);
        }
    } else if constexpr (std::is_same_v<To, Curve<double>>) {
        if (const auto number = converted<double>(value)) {
            return Curve<double>::constant(*number);
        }
    } else if constexpr (std::is_same_v<To, std::vector<std::string>>) {
        if (const auto text = converted<std::string>(value)) {
            return std::vector<std::string>{*text};
        }
    } else if constexpr (std::is_same_v<To, Curve<std::string>>) {
        if (const auto text = converted<std::string>(value)) {
            return Curve<std::string>::constant(*text);
        }
    }
    return std::nullopt;
}

template <class Held>
constexpr const char* expected_words() {
    if constexpr (std::is_same_v<Held, std::string> || std::is_same_v<Held, Curve<std::string>>) {
        return "must be a text";
    } else if constexpr (std::is_same_v<Held, std::vector<std::string>>) {
        return "must be a text or a list of texts";
    } else if constexpr (std::is_same_v<Held, int64_t>) {
        return "must be a whole number";
    } else {
        return "must be a number";
    }
}

template <class Held, class Member>
std::string assign_as(const PlanField& field, Plan& plan, Member Plan::*member,
                      const PlanValue& value) {
    auto held = converted<Held>(value);
    if (!held) {
        return expected_words<Held>();
    }
    auto problem = first_problem(field, *held);
    if (problem.empty()) {
        plan.*member = std::move(*held);
    }
    return problem;
}

struct Assigner {
    const PlanField& field;
    Plan& plan;
    const PlanValue& value;

    template <class T>
    std::string operator()(std::optional<T> Plan::*member) const {
        return assign_as<T>(field, plan, member, value);
    }

    template <class T>
    std::string operator()(T Plan::*member) const {
        return assign_as<T>(field, plan, member, value);
    }
};

struct Reader {
    const Plan& plan;

    template <class T>
    std::optional<PlanValue> operator()(std::optional<T> Plan::*member) const {
        const auto& value = plan.*member;
        return value ? std::optional<PlanValue>(*value) : std::nullopt;
    }

    template <class T>
    std::optional<PlanValue> operator()(T Plan::*member) const {
        const auto& value = plan.*member;
        return value.empty() ? std::nullopt : std::optional<PlanValue>(value);
    }
};

template <class Number>
std::optional<Number> parse_number(const std::string& text) {
    Number number{};
    const auto* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, number);
    if (text.empty() || result.ec != std::errc() || result.ptr != end) {
        return std::nullopt;
    }
    return number;
}

bool holds_text(const PlanField& field) {
    return std::holds_alternative<std::string Plan::*>(field.member) ||
           std::holds_alternative<Curve<std::string> Plan::*>(field.member);
}

}  // namespace

std::optional<Size> parse_size(const std::string& text) {
    const auto cross = text.find('x');
    if (cross == std::string::npos) {
        return std::nullopt;
    }
    const auto width = parse_number<int64_t>(text.substr(0, cross));
    const auto height = parse_number<int64_t>(text.substr(cross + 1));
    const auto fits = [](const auto& side) { return side && *side >= 16 && *side <= 8192; };
    return fits(width) && fits(height) ? std::optional(Size{*width, *height}) : std::nullopt;
}

std::string assign(const PlanField& field, Plan& plan, const PlanValue& value) {
    return std::visit(Assigner{field, plan, value}, field.member);
}

std::string assign_text(const PlanField& field, Plan& plan, const std::string& text) {
    if (const auto* list = std::get_if<std::vector<std::string> Plan::*>(&field.member)) {
        auto longer = plan.*(*list);
        longer.push_back(text);
        return assign(field, plan, longer);
    }
    if (holds_text(field)) {
        return assign(field, plan, text);
    }
    if (const auto whole = parse_number<int64_t>(text)) {
        return assign(field, plan, *whole);
    }
    if (const auto number = parse_number<double>(text)) {
        return assign(field, plan, *number);
    }
    const bool whole = std::holds_alternative<std::optional<int64_t> Plan::*>(field.member);
    return c10::str(whole ? "must be a whole number" : "must be a number", ", not '", text, "'");
}

std::optional<PlanValue> value_of(const PlanField& field, const Plan& plan) {
    return std::visit(Reader{plan}, field.member);
}

void overlay(Plan& plan, const Plan& over) {
    for (const PlanField& field : plan_fields()) {
        std::visit(
            [&](auto member) {
                if (value_of(field, over)) {
                    plan.*member = over.*member;
                }
            },
            field.member);
    }
}

void throw_problems(const Problems& problems) {
    if (!problems.empty()) {
        throw UsageError("", c10::Join("\n", problems));
    }
}

}  // namespace weft
