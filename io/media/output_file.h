#pragma once

#include <filesystem>

namespace weft {

/// True where both names lead to one file (same device and inode), through links too. False where
/// either does not exist.
bool same_file(const std::filesystem::path& a, const std::filesystem::path& b);

/// A file that appears under its name only when it is whole: it grows as ".NAME.weft-part" in the
/// same folder; commit() syncs and renames it, the destructor without commit() removes it.
/// Thread-safe: no.
class OutputFile {
  public:
    enum class Existing { refuse, replace };

    /// Throws Error where the folder is missing or not writable, the target is a folder, or it
    /// exists and may not be replaced.
    OutputFile(std::filesystem::path target, Existing existing);
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;
    ~OutputFile();

    const std::filesystem::path& target() const { return target_; }

    /// Where to write until commit().
    const std::filesystem::path& part() const { return part_; }

    /// Flushes the part file to the disk and gives it the target's name. Throws Error where that
    /// fails; the part is then removed by the destructor.
    void commit();

  private:
    std::filesystem::path target_;
    std::filesystem::path part_;
    int lock_ = -1;  // descriptor that keeps other runs off the part
    bool committed_ = false;
};

}  // namespace weft
