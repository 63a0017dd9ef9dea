#include "video/plan_lora.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "io/files/error.h"

namespace weft {
namespace {

constexpr const char* form =
    "write FILE[:WEIGHT[:PART=W,...]] or weights at seconds, e.g. a.safetensors:0@1..0.8@3";

std::optional<double> number_in(std::string_view text, const Range& range) {
    double value = 0;
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    const bool fits = !text.empty() && result.ec == std::errc() && result.ptr == end &&
                      value >= range.low && value <= range.high;
    return fits ? std::optional(value) : std::nullopt;
}

/// "0@1..0.8@3"
Curve<double> parse_weights(const std::string& text, const std::string& whole) {
    Curve<double> curve;
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find("..", begin), text.size());
        const std::string_view key = std::string_view(text).substr(begin, end - begin);
        const size_t at = std::min(key.find('@'), key.size());
        const auto weight = number_in(key.substr(0, at), {-10, 10});
        const auto moment = number_in(key.substr(std::min(at + 1, key.size())), {0, 1e9});
        if (!weight || !moment)
            throw UsageError(
                whole, c10::str("'", key, "' is no weight from -10 to 10 at a moment in seconds"),
                form);
        if (!curve.empty() && *moment <= curve.keys.back().at_s)
            throw UsageError(whole, c10::str("moments must rise; ", *moment, " does not"), form);
        curve.keys.push_back({*moment, *weight});
        begin = end + 2;
    }
    return curve;
}

}  // namespace

PlanLora parse_plan_lora(const std::string& text) {
    const auto [file, rest] = split_file(text, "LoRA file", form);
    const size_t colon = std::min(rest.find(':'), rest.size());
    const std::string weight = rest.substr(0, colon);
    if (weight.find('@') == std::string::npos)
        return {parse_lora(text), {}};
    PlanLora lora{parse_lora(c10::str(file.string(), ":1", rest.substr(colon))),
                  parse_weights(weight, text)};
    lora.choice.mode = LoraMode::varying;
    return lora;
}

std::vector<PlanLora> plan_loras(const Plan& plan) {
    std::vector<PlanLora> loras;
    for (const auto& text : plan.lora) {
        loras.push_back(parse_plan_lora(text));
        if (plan.lora_mode == "unmerged" && loras.back().strength.empty()) {
            loras.back().choice.mode = LoraMode::unmerged;
        }
    }
    return loras;
}

torch::Tensor lora_strengths(const std::vector<Curve<double>>& loras,
                             const std::vector<double>& time_s) {
    const auto changes = [](const Curve<double>& curve) { return !curve.empty(); };
    if (std::none_of(loras.begin(), loras.end(), changes)) {
        return {};
    }
    auto strengths =
        torch::ones({static_cast<int64_t>(time_s.size()), static_cast<int64_t>(loras.size())});
    for (size_t i = 0; i < time_s.size(); ++i) {
        for (size_t k = 0; k < loras.size(); ++k) {
            if (changes(loras[k])) {
                strengths[static_cast<int64_t>(i)][static_cast<int64_t>(k)] =
                    loras[k].at(time_s[i]);
            }
        }
    }
    return strengths;
}

}  // namespace weft
