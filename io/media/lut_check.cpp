#include "io/media/lut_check.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "io/files/error.h"
#include "io/media/location.h"

namespace weft {
namespace {

constexpr uintmax_t most_bytes = 128 << 20;
constexpr size_t longest_line = 4000;  // OpenColorIO's own buffer holds 4096
constexpr int64_t longest_side = 129;
constexpr int64_t longest_curve = 65'536;

using Words = std::vector<std::string_view>;

bool is_space(char c) {
    return std::isspace(static_cast<unsigned char>(c)) != 0;
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    return text;
}

Words words_of(std::string_view line) {
    Words words;
    for (line = trimmed(line); !line.empty(); line = trimmed(line)) {
        const auto end = std::find_if(line.begin(), line.end(), is_space);
        const auto length = static_cast<size_t>(end - line.begin());
        words.push_back(line.substr(0, length));
        line.remove_prefix(length);
    }
    return words;
}

std::optional<double> number(std::string_view word) {
    if (word.starts_with('+'))
        word.remove_prefix(1);
    double value = 0;
    const auto result = std::from_chars(word.data(), word.data() + word.size(), value);
    return result.ec == std::errc() && result.ptr == word.data() + word.size()
               ? std::optional(value)
               : std::nullopt;
}

/// A whole number from low to high.
std::optional<int64_t> count(std::string_view word, int64_t low, int64_t high) {
    int64_t value = 0;
    const auto result = std::from_chars(word.data(), word.data() + word.size(), value);
    const bool whole = result.ec == std::errc() && result.ptr == word.data() + word.size();
    return whole && value >= low && value <= high ? std::optional(value) : std::nullopt;
}

bool all_numbers(const Words& words, size_t first, size_t expected) {
    return words.size() == first + expected &&
           std::all_of(words.begin() + static_cast<std::ptrdiff_t>(first), words.end(),
                       [](std::string_view word) { return number(word).has_value(); });
}

/// Gives the lines that say something: not empty, no comment.
class Lines {
  public:
    explicit Lines(std::string_view text) : rest_(text) {}

    /// The next line's words; empty at the end.
    Words next() {
        while (!rest_.empty() && problem_.empty()) {
            const size_t end = std::min(rest_.find('\n'), rest_.size());
            const std::string_view line = rest_.substr(0, end);
            rest_.remove_prefix(std::min(end + 1, rest_.size()));
            ++line_;
            if (line.size() > longest_line || line.find('\0') != std::string_view::npos)
                problem_ = "is too long or not text";
            else if (Words words = words_of(line); !words.empty() && !words[0].starts_with('#'))
                return words;
        }
        return {};
    }

    /// What is wrong with the line just read, for a message.
    std::string here(const std::string& problem) const {
        return c10::str("line ", line_, " ", problem_.empty() ? problem : problem_);
    }

    bool broken() const { return !problem_.empty(); }

  private:
    std::string_view rest_;
    std::string problem_;
    int64_t line_ = 0;
};

std::string entries_problem(int64_t found, int64_t declared) {
    return found == declared ? std::string()
                             : c10::str("holds ", found, " entries, its size asks for ", declared);
}

/// What a .cube declares (Adobe, "Cube LUT Specification 1.0"; Resolve's files have both sizes).
struct Cube {
    int64_t curve = 0;
    int64_t side = 0;
    int64_t entries = 0;

    /// Takes a line; false where it is none of a cube.
    bool take(const Words& words) {
        const std::string_view key = words[0];
        if (key == "TITLE")
            return entries == 0;
        if (key == "DOMAIN_MIN" || key == "DOMAIN_MAX")
            return all_numbers(words, 1, 3);
        if (key == "LUT_1D_INPUT_RANGE" || key == "LUT_3D_INPUT_RANGE")
            return all_numbers(words, 1, 2);
        if (key == "LUT_1D_SIZE")
            return size(words, curve, longest_curve);
        if (key == "LUT_3D_SIZE")
            return size(words, side, longest_side);
        ++entries;
        return all_numbers(words, 0, 3);
    }

  private:
    bool size(const Words& words, int64_t& declared, int64_t most) const {
        const auto value = words.size() == 2 ? count(words[1], 2, most) : std::nullopt;
        const bool first = declared == 0 && entries == 0;
        declared = value.value_or(0);
        return first && value.has_value();
    }
};

std::string cube_problem(std::string_view text) {
    Lines lines(text);
    Cube cube;
    for (Words words = lines.next(); !words.empty(); words = lines.next()) {
        if (!cube.take(words))
            return lines.here("is no line of a .cube table, or its size is not 2 to 129");
    }
    if (lines.broken())
        return lines.here({});
    if (cube.curve == 0 && cube.side == 0)
        return "declares no size";
    return entries_problem(cube.entries, cube.curve + cube.side * cube.side * cube.side);
}

/// "Version 1", "From a b", "Length n", "Components c", "{", n lines, "}".
std::string spi1d_problem(std::string_view text) {
    Lines lines(text);
    int64_t length = 0;
    int64_t components = 0;
    Words words = lines.next();
    for (; !words.empty() && words[0] != "{"; words = lines.next()) {
        const std::string_view key = words[0];
        bool good = words.size() == 2 || key == "From";
        if (key == "Version")
            good = good && words[1] == "1";
        else if (key == "From")
            good = all_numbers(words, 1, 2);
        else if (key == "Length" && length == 0)
            good = good && (length = count(words[1], 2, longest_curve).value_or(0)) > 0;
        else if (key == "Components" && components == 0)
            good = good && (components = count(words[1], 1, 3).value_or(0)) > 0;
        else
            good = false;
        if (!good)
            return lines.here("is no head line of a .spi1d table, or a size out of range");
    }
    if (words.size() != 1 || length == 0 || components == 0)
        return lines.broken() ? lines.here({}) : "has no head with Length and Components";
    int64_t entries = 0;
    for (words = lines.next(); !words.empty() && words[0] != "}"; words = lines.next()) {
        ++entries;
        if (!all_numbers(words, 0, static_cast<size_t>(components)))
            return lines.here(c10::str("does not hold ", components, " numbers"));
    }
    if (words.size() != 1 || !lines.next().empty() || lines.broken())
        return lines.here("is not the '}' that ends the table");
    return entries_problem(entries, length);
}

/// "SPILUT 1.0", "3 3", "n n n", then n^3 lines "i j k r g b".
std::string spi3d_problem(std::string_view text) {
    Lines lines(text);
    const Words magic = lines.next();
    const Words kind = lines.next();
    const Words sizes = lines.next();
    if (magic != Words{"SPILUT", "1.0"} || kind != Words{"3", "3"} || sizes.size() != 3)
        return lines.here("ends no head of a .spi3d table: SPILUT 1.0, 3 3, three sizes");
    const auto side = count(sizes[0], 2, longest_side);
    if (!side || sizes[1] != sizes[0] || sizes[2] != sizes[0])
        return lines.here("does not hold three equal sizes of 2 to 129");
    int64_t entries = 0;
    for (Words words = lines.next(); !words.empty(); words = lines.next()) {
        ++entries;
        bool good = all_numbers(words, 0, 6);
        for (size_t i = 0; good && i < 3; ++i) good = count(words[i], 0, *side - 1).has_value();
        if (!good)
            return lines.here("is no entry 'i j k r g b' within the table");
    }
    if (lines.broken())
        return lines.here({});
    return entries_problem(entries, *side * *side * *side);
}

std::string matrix_problem(std::string_view text) {
    Lines lines(text);
    size_t numbers = 0;
    for (Words words = lines.next(); !words.empty(); words = lines.next()) {
        numbers += words.size();
        if (!all_numbers(words, 0, words.size()))
            return lines.here("holds something else than numbers");
    }
    if (lines.broken())
        return lines.here({});
    return numbers == 12 ? "" : c10::str("holds ", numbers, " numbers instead of 12");
}

/// Sizes that an XML table declares: dim="33 33 33 3".
std::string dim_problem(std::string_view value) {
    const Words sizes = words_of(value);
    const int64_t most = sizes.size() == 4 ? longest_side : longest_curve;
    for (const std::string_view size : sizes) {
        if (!count(size, 1, most))
            return c10::str("declares a size that is no list of whole numbers up to ", most);
    }
    return sizes.empty() || sizes.size() > 4 ? "declares a size that is none" : "";
}

std::string xml_problem(std::string_view text) {
    constexpr std::array<std::string_view, 8> others = {
        "Version", "From", "Length", "LUT_", "SPILUT", "CSPLUT", "3DMESH", "Components"};
    if (text.starts_with("\xEF\xBB\xBF"))
        text.remove_prefix(3);
    if (!trimmed(text).starts_with('<'))
        return "is no XML";
    if (text.find("<!DOCTYPE") != std::string_view::npos ||
        text.find("<!ENTITY") != std::string_view::npos)
        return "defines markup of its own";
    // A parser that fails makes OpenColorIO try its others, which look at the starts of lines.
    for (size_t start = 0; start < text.size();
         start = std::min(text.find('\n', start), text.size() - 1) + 1) {
        const std::string_view line = trimmed(text.substr(start, 200));
        for (const std::string_view word : others) {
            if (line.starts_with(word))
                return c10::str("has a line that starts with '", word, "', as other tables do");
        }
    }
    for (size_t at = text.find("dim"); at != std::string_view::npos;
         at = text.find("dim", at + 1)) {
        std::string_view rest = trimmed(text.substr(at + 3, 400));
        if (!rest.starts_with('='))
            continue;
        rest = trimmed(rest.substr(1));
        const char quote = rest.empty() ? ' ' : rest.front();
        const size_t end = rest.find(quote, 1);
        if ((quote != '"' && quote != '\'') || end == std::string_view::npos)
            return "declares a size that is none";
        if (std::string problem = dim_problem(rest.substr(1, end - 1)); !problem.empty())
            return problem;
    }
    return {};
}

using Check = std::string (*)(std::string_view);

constexpr std::array<std::pair<std::string_view, Check>, 9> checks = {{
    {"cube", cube_problem},
    {"spi1d", spi1d_problem},
    {"spi3d", spi3d_problem},
    {"spimtx", matrix_problem},
    {"clf", xml_problem},
    {"ctf", xml_problem},
    {"cc", xml_problem},
    {"ccc", xml_problem},
    {"cdl", xml_problem},
}};

}  // namespace

std::string lut_problem(std::string_view text, const std::string& ending) {
    for (const auto& [known, problem] : checks) {
        if (ending == known)
            return problem(text);
    }
    return c10::str("is a kind of table weft does not let through: '", ending, "'");
}

void check_lut(const std::filesystem::path& path) {
    constexpr const char* way_out =
        "convert it to .cube, .clf or .spi3d, with sides of 2 to 129, or take another colour space";
    std::error_code failed;
    const bool regular = std::filesystem::is_regular_file(path, failed);
    const uintmax_t bytes = regular ? std::filesystem::file_size(path, failed) : 0;
    if (!regular || failed)
        throw Error(path.string(), "is no file", "check the colour configuration");
    if (bytes > most_bytes)
        throw Error(path.string(), c10::str("a colour table of ", bytes >> 20, " MiB"), way_out);
    std::ifstream file(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
    std::string ending = lower_ending(path);
    if (ending.starts_with('.'))
        ending.erase(0, 1);
    if (const std::string problem = lut_problem(text, ending); !problem.empty())
        throw Error(path.string(), problem, way_out);
}

}  // namespace weft
