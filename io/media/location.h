#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace weft {

/// The names of an image sequence: a folder and a file name with a number in it.
struct SequencePattern {
    std::filesystem::path folder;  // empty: the current one
    std::string before;            // of the number
    int digits = 1;                // at least, filled up with zeros
    std::string after;             // of the number, with the ending

    /// Reads "shots/shot.%04d.exr", "shot.%d.png" or "shot.####.png"; nullopt for a name without
    /// exactly one such place.
    static std::optional<SequencePattern> parse(const std::filesystem::path& path);

    /// The file with a number >= 0.
    std::filesystem::path file(int64_t number) const;
    /// The number in a file name of this pattern; nullopt for other names.
    std::optional<int64_t> number_of(const std::string& name) const;
    /// All files of the pattern that exist, by number.
    std::map<int64_t, std::filesystem::path> files() const;
    /// "shots/shot.%04d.exr".
    std::string text() const;
};

/// What IN or OUT stands for.
struct Location {
    enum class Kind { file, sequence, pipe } kind = Kind::file;
    std::filesystem::path path;  // as given
    SequencePattern pattern;     // of a sequence
};

/// What a name stands for that is to be read: "-" and FIFOs are pipes; a folder is the one image
/// sequence in it; a name that no file has but is a pattern is that sequence; all else is a file.
/// Throws Error for a folder without or with more than one sequence.
Location locate_input(const std::filesystem::path& path);

/// What a name stands for that is to be written: as above; a folder (existing, or ending in '/')
/// gets "frame.%04d" with `ending`.
Location locate_output(const std::filesystem::path& path, const std::string& ending = ".png");

/// The name's ending in lower case, with the dot.
std::string lower_ending(const std::filesystem::path& path);

/// True for endings of still pictures that weft writes: .png .jpg .jpeg .tif .tiff .dpx .exr.
bool names_picture(const std::filesystem::path& path);

}  // namespace weft
