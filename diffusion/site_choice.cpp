#include "diffusion/site_choice.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "io/files/error.h"

namespace weft {
namespace {

constexpr std::array<std::string_view, 3> parts = {"down_blocks.", "mid_block.", "up_blocks."};

// What a word stands for: beginnings of names.
std::vector<std::string> beginnings_of(const std::string& word, const std::string& words) {
    if (word == "none")
        return {};
    if (word == "all")
        return {parts.begin(), parts.end()};
    for (const std::string_view part : parts) {
        if (word == part.substr(0, part.find('_')))
            return {std::string(part)};
        if ((word + '.').starts_with(part))
            return {word + '.'};
    }
    throw UsageError(
        words, "'" + word + "' is no part of a network",
        "join all, none, down, mid, up or beginnings of names, such as up_blocks.1, by +");
}

}  // namespace

SiteChoice::SiteChoice(const std::string& words) {
    std::istringstream list(words);
    for (std::string word; std::getline(list, word, '+');)
        for (std::string& beginning : beginnings_of(word, words))
            beginnings_.push_back(std::move(beginning));
    if (words.empty() || words.ends_with('+'))
        beginnings_of("", words);
}

bool SiteChoice::has(std::string_view site) const {
    const std::string closed = std::string(site) + '.';
    return std::any_of(beginnings_.begin(), beginnings_.end(), [&](const std::string& beginning) {
        // Training keeps its networks in scopes: a name may begin after a dot.
        const size_t at = closed.find(beginning);
        return at == 0 || (at != std::string::npos && closed[at - 1] == '.');
    });
}

}  // namespace weft
