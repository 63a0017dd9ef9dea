#include "video/work_folder.h"

#include <c10/util/StringUtil.h>
#include <fcntl.h>
#include <sys/file.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <sstream>
#include <utility>

#include "io/files/error.h"
#include "io/files/whole_file.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr int64_t note_schema = 1;
constexpr const char* note_name = "work.toml";
constexpr const char* plan_name = "plan.toml";
constexpr const char* lock_name = "lock";
constexpr std::string_view segment_start = "segment-";
constexpr std::string_view segment_end = ".weftseg";

/// The number in a segment's file name; -1 for other names.
int64_t number_of(const std::string& name) {
    const size_t least = segment_start.size() + segment_end.size();
    if (name.size() <= least || name.rfind(segment_start, 0) != 0 ||
        name.compare(name.size() - segment_end.size(), segment_end.size(), segment_end) != 0) {
        return -1;
    }
    int64_t number = -1;
    const char* digits = name.data() + segment_start.size();
    const char* end = name.data() + name.size() - segment_end.size();
    const auto parsed = std::from_chars(digits, end, number);
    return parsed.ec == std::errc() && parsed.ptr == end ? number : -1;
}

bool is_ours(const std::string& name) {
    return name == note_name || name == plan_name || name == lock_name || number_of(name) >= 0;
}

void write_whole(const fs::path& path, const std::string& text) {
    WholeFile file(path);
    file.write(text);
    file.commit();
}

fs::path folder_above(const fs::path& folder) {
    const auto parent = folder.parent_path();
    return parent.empty() ? fs::path(".") : parent;
}

/// Why a folder could not be made, or a file in it not be opened.
std::string reason_of(const std::error_code& making) {
    return making ? making.message() : std::generic_category().message(errno);
}

/// Text in quotes with what TOML wants escaped.
std::string quoted(const std::string& text) {
    std::ostringstream written;
    written << toml::value<std::string>(text);
    return written.str();
}

/// "from = \"num/den\"", in seconds; nothing where it is not set.
std::string time_line(const char* key, const std::optional<Time>& time) {
    return time ? c10::str(key, " = \"", time->num(), "/", time->den(), "\"\n") : std::string();
}

std::optional<Time> read_time(const toml::table& table, const char* key) {
    std::istringstream text(table[key].value_or(std::string()));
    int64_t num = 0;
    int64_t den = 0;
    char slash = 0;
    if (!(text >> num >> slash >> den) || slash != '/' || den <= 0) {
        return std::nullopt;
    }
    return Time(num, den);
}

}  // namespace

fs::path work_folder_of(const fs::path& out) {
    return {out.string() + ".weft"};
}

fs::path segment_file(const fs::path& folder, int64_t number) {
    std::array<char, 40> name{};
    std::snprintf(name.data(), name.size(), "segment-%06lld.weftseg",
                  static_cast<long long>(number));
    return folder / name.data();
}

fs::path plan_file(const fs::path& folder) {
    return folder / plan_name;
}

std::vector<int64_t> segments_in(const fs::path& folder) {
    std::vector<int64_t> numbers;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
        if (const int64_t number = number_of(entry.path().filename().string()); number >= 0) {
            numbers.push_back(number);
        }
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

std::string ranges(const std::vector<int64_t>& numbers) {
    std::string text;
    for (size_t i = 0; i < numbers.size();) {
        size_t last = i;
        while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) {
            ++last;
        }
        text += c10::str(text.empty() ? "" : ", ", numbers[i]);
        text += last > i ? c10::str("-", numbers[last]) : "";
        i = last + 1;
    }
    return text;
}

WorkFolder::WorkFolder(fs::path folder, Earlier earlier) : folder_(std::move(folder)) {
    std::error_code failed;
    if (!fs::is_directory(folder_above(folder_), failed)) {
        throw Error(fs::path(folder_).replace_extension().string(), "its folder does not exist",
                    "create the folder first");
    }
    fs::create_directory(folder_, failed);
    lock_ = ::open((folder_ / lock_name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (lock_ < 0) {
        throw Error(folder_.string(), "cannot be written: " + reason_of(failed),
                    "choose a folder you may write to");
    }
    if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
        ::close(lock_);
        throw Error(folder_.string(), "is in use: another run writes the same OUT",
                    "wait for it or choose another name");
    }
    for (const auto& entry : fs::directory_iterator(folder_, failed)) {
        const auto name = entry.path().filename().string();
        if (!is_ours(name) || (earlier == Earlier::discard && name != lock_name)) {
            fs::remove_all(entry.path(), failed);
        }
    }
}

WorkFolder::~WorkFolder() {
    if (!has_segments()) {
        remove();
    }
    ::close(lock_);
}

void WorkFolder::describe(const WorkNote& note, const std::string& plan) const {
    write_whole(folder_ / plan_name, plan);
    write_whole(folder_ / note_name,
                c10::str("weft_work = ", note_schema, "\nin = ", quoted(note.in),
                         "\nout = ", quoted(note.out), "\nsegments = ", note.segments,
                         "\ndigest = ", quoted(note.digest), "\n", time_line("from", note.from),
                         time_line("to", note.to)));
}

fs::path WorkFolder::segment(int64_t number) const {
    return segment_file(folder_, number);
}

bool WorkFolder::has_segments() const {
    return !segments_in(folder_).empty();
}

void WorkFolder::remove() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

WorkNote read_work_note(const fs::path& folder) {
    const auto path = folder / note_name;
    const auto wrong = [&] {
        return Error(folder.string(), "is no work folder of a run",
                     "give the OUT.weft folders that 'weft stylize --segments' left");
    };
    std::error_code ignored;
    constexpr uintmax_t most_bytes = 1 << 16;
    if (!fs::is_regular_file(path, ignored) || fs::file_size(path, ignored) > most_bytes) {
        throw wrong();
    }
    try {
        const toml::table table = toml::parse_file(path.string());
        WorkNote note{.in = table["in"].value_or(std::string()),
                      .out = table["out"].value_or(std::string()),
                      .segments = table["segments"].value_or(int64_t{0}),
                      .digest = table["digest"].value_or(std::string()),
                      .from = read_time(table, "from"),
                      .to = read_time(table, "to")};
        if (table["weft_work"].value_or(int64_t{0}) != note_schema || note.segments < 1) {
            throw wrong();
        }
        return note;
    } catch (const toml::parse_error&) {
        throw wrong();
    }
}

}  // namespace weft
