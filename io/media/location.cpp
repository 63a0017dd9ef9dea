#include "io/media/location.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <regex>
#include <tuple>

#include "io/files/error.h"

namespace weft {
namespace fs = std::filesystem;

namespace {

constexpr int most_digits = 15;

bool is_digit(char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

/// Endings of pictures that make a sequence when a folder is read.
bool is_sequence_ending(const fs::path& path) {
    static constexpr std::array known = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dpx",
                                         ".exr", ".bmp", ".webp", ".tga", ".jp2",  ".jxl",
                                         ".ppm", ".pgm", ".pnm",  ".sgi", ".pfm",  ".hdr"};
    return std::find(known.begin(), known.end(), lower_ending(path)) != known.end();
}

/// The pattern a numbered file belongs to: its last run of digits before the ending is the number.
std::optional<SequencePattern> pattern_of_file(const fs::path& path) {
    static const std::regex numbered("^(.*?)([0-9]{1,15})([^0-9]*\\.[^.]+)$");
    const std::string name = path.filename().string();
    std::smatch match;
    if (name.size() > 255 || !std::regex_match(name, match, numbered))
        return std::nullopt;
    // Several patterns can write a number without leading zeros; the files are told apart by text.
    const std::string number = match[2];
    const int digits = number.front() == '0' ? static_cast<int>(number.size()) : 1;
    return SequencePattern{path.parent_path(), match[1], digits, match[3]};
}

/// The one sequence in a folder.
SequencePattern sequence_in(const fs::path& folder) {
    std::map<std::pair<std::string, std::string>, SequencePattern> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
        if (!is_sequence_ending(entry.path()))
            continue;
        const auto pattern = pattern_of_file(entry.path());
        if (!pattern)
            continue;
        const auto [place, fresh] = found.try_emplace({pattern->before, pattern->after}, *pattern);
        if (!fresh)
            place->second.digits = std::max(place->second.digits, pattern->digits);
    }
    if (found.empty())
        throw Error(folder.string(), "is a folder without numbered pictures",
                    "name a media file, or a folder with e.g. shot.0001.png, shot.0002.png ...");
    if (found.size() > 1)
        throw Error(folder.string(),
                    c10::str("is a folder with ", found.size(), " image sequences"),
                    c10::str("name one, e.g. ", found.begin()->second.text()));
    return found.begin()->second;
}

}  // namespace

std::optional<SequencePattern> SequencePattern::parse(const fs::path& path) {
    static const std::regex place("^([^%#]*)(?:%(?:0?([0-9]{1,2}))?d|(#{1,15}))([^%#]*)$");
    const std::string name = path.filename().string();
    std::smatch match;
    if (name.size() > 255 || !std::regex_match(name, match, place))
        return std::nullopt;
    int digits = 1;
    if (match[3].matched)
        digits = static_cast<int>(match[3].length());
    else if (match[2].matched)
        digits = std::max(1, std::stoi(match[2]));
    if (digits > most_digits)
        return std::nullopt;
    return SequencePattern{path.parent_path(), match[1], digits, match[4]};
}

fs::path SequencePattern::file(int64_t number) const {
    std::string text = std::to_string(number);
    if (static_cast<int>(text.size()) < digits)
        text.insert(0, digits - text.size(), '0');
    return folder / (before + text + after);
}

std::optional<int64_t> SequencePattern::number_of(const std::string& name) const {
    const size_t around = before.size() + after.size();
    if (name.size() <= around || name.size() > around + most_digits ||
        name.compare(0, before.size(), before) != 0 ||
        name.compare(name.size() - after.size(), after.size(), after) != 0)
        return std::nullopt;
    const std::string text = name.substr(before.size(), name.size() - around);
    if (!std::all_of(text.begin(), text.end(), is_digit))
        return std::nullopt;
    const bool filled = static_cast<int>(text.size()) == digits;
    const bool longer = static_cast<int>(text.size()) > digits && text.front() != '0';
    return filled || longer ? std::optional<int64_t>(std::stoll(text)) : std::nullopt;
}

std::map<int64_t, fs::path> SequencePattern::files() const {
    std::map<int64_t, fs::path> list;
    std::error_code failed;
    const fs::path place = folder.empty() ? fs::path(".") : folder;
    for (auto entry = fs::directory_iterator(place, failed);
         !failed && entry != fs::directory_iterator(); entry.increment(failed)) {
        if (const auto number = number_of(entry->path().filename().string()))
            list[*number] = file(*number);
    }
    return list;
}

std::string SequencePattern::text() const {
    const std::string number = digits == 1 ? "%d" : c10::str("%0", digits, "d");
    return (folder / (before + number + after)).string();
}

Location locate_input(const fs::path& path) {
    std::error_code failed;
    if (path == "-")
        return {Location::Kind::pipe, path, {}};
    const fs::file_status status = fs::status(path, failed);
    if (fs::is_fifo(status))
        return {Location::Kind::pipe, path, {}};
    if (fs::is_directory(status))
        return {Location::Kind::sequence, path, sequence_in(path)};
    const auto pattern = SequencePattern::parse(path);
    if (!fs::exists(status) && pattern)
        return {Location::Kind::sequence, path, *pattern};
    return {Location::Kind::file, path, {}};
}

Location locate_output(const fs::path& path, const std::string& ending) {
    std::error_code failed;
    if (path == "-" || fs::is_fifo(fs::status(path, failed)))
        return {Location::Kind::pipe, path, {}};
    const bool folder = path.filename().empty() || fs::is_directory(path, failed);
    if (folder) {
        SequencePattern pattern{path, "frame.", 4, ending};
        return {Location::Kind::sequence, path, pattern};
    }
    const auto pattern = SequencePattern::parse(path);
    if (pattern && names_picture(path))
        return {Location::Kind::sequence, path, *pattern};
    return {Location::Kind::file, path, {}};
}

std::string lower_ending(const fs::path& path) {
    std::string ending = path.extension().string();
    for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return ending;
}

bool names_picture(const fs::path& path) {
    static constexpr std::array known = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dpx", ".exr"};
    return std::find(known.begin(), known.end(), lower_ending(path)) != known.end();
}

}  // namespace weft
