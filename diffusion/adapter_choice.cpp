#include "diffusion/adapter_choice.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "io/files/error.h"
#include "io/files/text.h"

namespace weft {

namespace {

// The length of the longest front of "FILE:..." that exists; 0 where none does.
size_t file_length(const std::string& text) {
    std::error_code ignored;
    for (size_t end = text.size(); end != std::string::npos && end > 0;
         end = text.rfind(':', end - 1))
        if (std::filesystem::exists(text.substr(0, end), ignored))
            return end;
    return 0;
}

constexpr const char* lora_form =
    "write FILE[:WEIGHT[:PART=W,...]], e.g. a.safetensors:0.8:mid=0.5";
constexpr double heaviest = 10;

// What the first word of a part stands for in "component.layer".
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> part_words{
    {{"unet", "unet"},
     {"down", "unet.down_blocks"},
     {"mid", "unet.mid_block"},
     {"up", "unet.up_blocks"}}};

std::optional<double> weight_in(std::string_view text) {
    double value = 0;
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    const bool fits = !text.empty() && result.ec == std::errc() && result.ptr == end &&
                      value >= -heaviest && value <= heaviest;
    return fits ? std::optional(value) : std::nullopt;
}

// The fronts of "component.layer" that a part means; none for words that are no part.
std::vector<std::string> fronts_of(std::string_view part) {
    const size_t dot = std::min(part.find('.'), part.size());
    const std::string_view word = part.substr(0, dot), rest = part.substr(dot);
    for (const auto& [known, front] : part_words)
        if (word == known)
            return {c10::str(front, rest)};
    if (part == "text")
        return {"text_encoder", "text_encoder_2"};
    if (part == "text.1")
        return {"text_encoder"};
    if (part == "text.2")
        return {"text_encoder_2"};
    return {};
}

bool holds(const std::string& part, const std::string& path) {
    const std::vector<std::string> fronts = fronts_of(part);
    return std::any_of(fronts.begin(), fronts.end(), [&](const std::string& front) {
        return path.starts_with(front) &&
               (path.size() == front.size() || path[front.size()] == '.');
    });
}

// "mid=0.5,up.1=1"
std::map<std::string, double> parse_parts(const std::string& text, const std::string& whole) {
    std::map<std::string, double> parts;
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find(',', begin), text.size());
        const std::string entry = text.substr(begin, end - begin);
        const size_t equals = std::min(entry.find('='), entry.size());
        const std::string part = entry.substr(0, equals);
        const auto weight =
            weight_in(std::string_view(entry).substr(std::min(equals + 1, entry.size())));
        if (fronts_of(part).empty())
            throw UsageError(
                whole, c10::str("knows no part ", quoted_name(part)),
                "parts are unet, down, mid, up and text, also down.1, text.2 and such");
        if (!weight)
            throw UsageError(
                whole, c10::str("the weight of ", quoted_name(part), " must be from -10 to 10"),
                lora_form);
        parts[part] = *weight;
        begin = end + 1;
    }
    return parts;
}

}  // namespace

std::string LoraChoice::part_of(const std::string& component, const std::string& layer) const {
    const std::string path = c10::str(component, ".", layer);
    std::string longest;
    for (const auto& [part, own] : parts)
        if (part.size() > longest.size() && holds(part, path))
            longest = part;
    return longest;
}

double LoraChoice::weight_of(const std::string& component, const std::string& layer) const {
    const std::string part = part_of(component, layer);
    return part.empty() ? weight : parts.at(part);
}

FileAndRest split_file(const std::string& text, const std::string& what, const std::string& form) {
    const size_t end = file_length(text);
    if (end == 0)
        throw Error(text, c10::str("no such ", what), form);
    return {text.substr(0, end), end == text.size() ? "" : text.substr(end + 1)};
}

LoraChoice parse_lora(const std::string& text) {
    const auto [file, rest] = split_file(text, "LoRA file", lora_form);
    LoraChoice choice{.file = file};
    if (file.string().size() == text.size())
        return choice;
    const size_t colon = std::min(rest.find(':'), rest.size());
    const auto weight = weight_in(std::string_view(rest).substr(0, colon));
    if (!weight)
        throw UsageError(text,
                         c10::str("the weight ", quoted_name(rest.substr(0, colon)),
                                  " must be a number from -10 to 10"),
                         lora_form);
    choice.weight = *weight;
    if (colon < rest.size())
        choice.parts = parse_parts(rest.substr(colon + 1), text);
    return choice;
}

EmbeddingChoice parse_embedding(const std::string& text) {
    auto [file, rest] =
        split_file(text, "embedding file or folder", "write FILE[:TOKEN] or a folder");
    return {file, rest};
}

}  // namespace weft
