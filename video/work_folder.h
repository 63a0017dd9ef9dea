#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/media/time.h"

namespace weft {

/// What a work folder is about; its file work.toml.
struct WorkNote {
    std::string in;        // the source's path, absolute
    std::string out;       // the name that was asked for
    int64_t segments = 0;  // of the whole clip
    std::string digest;    // of all of them together; see digests.h
    /// The part of IN's clock that is written; see WriteOptions.
    std::optional<Time> from = std::nullopt;
    std::optional<Time> to = std::nullopt;
    friend bool operator==(const WorkNote&, const WorkNote&) = default;
};

/// "OUT.weft".
std::filesystem::path work_folder_of(const std::filesystem::path& out);

/// Where a run keeps its finished segments: OUT.weft with work.toml, plan.toml and a file for each
/// finished segment. One process at a time holds it. Thread-safe: no.
class WorkFolder {
  public:
    enum class Earlier { keep, discard };

    /// Makes or opens and locks the folder. What a killed run left half-written is removed; with
    /// `discard` everything is. Throws Error where another run holds it or it cannot be written.
    WorkFolder(std::filesystem::path folder, Earlier earlier);
    WorkFolder(const WorkFolder&) = delete;
    WorkFolder& operator=(const WorkFolder&) = delete;
    /// Removes the folder again where it holds no finished segment.
    ~WorkFolder();

    const std::filesystem::path& path() const { return folder_; }

    /// Says what the folder is about. @param plan as TOML
    void describe(const WorkNote& note, const std::string& plan) const;

    std::filesystem::path segment(int64_t number) const;
    bool has_segments() const;
    /// Removes the folder and all in it.
    void remove();

  private:
    std::filesystem::path folder_;
    int lock_ = -1;
};

/// Reads work.toml of a folder. Throws Error where the folder is none of a run or unreadable.
WorkNote read_work_note(const std::filesystem::path& folder);

/// The path of a segment's file in a folder.
std::filesystem::path segment_file(const std::filesystem::path& folder, int64_t number);

/// The file of the resolved plan in a folder.
std::filesystem::path plan_file(const std::filesystem::path& folder);

/// Numbers of the segments whose files a folder has, rising.
std::vector<int64_t> segments_in(const std::filesystem::path& folder);

/// "0-3, 5": runs of rising numbers.
std::string ranges(const std::vector<int64_t>& numbers);

}  // namespace weft
