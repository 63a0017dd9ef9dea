#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace weft {

/// A file that appears whole or not at all: written under a temporary name beside its place, then
/// synced and renamed by `commit`. Without a commit (an Error, an interrupt) nothing stays.
/// Thread-safe: no.
class WholeFile {
  public:
    /// Opens the temporary file. Throws Error where the folder is missing or not writable, or where
    /// `path` is a folder, a pipe or a device. A link is followed.
    explicit WholeFile(const std::filesystem::path& path);
    ~WholeFile();
    WholeFile(WholeFile&& other) noexcept;
    WholeFile& operator=(WholeFile&&) = delete;
    WholeFile(const WholeFile&) = delete;
    WholeFile& operator=(const WholeFile&) = delete;

    /// Appends. Throws Error where the disk is full.
    void write(const void* data, size_t size_bytes);

    void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }

    /// Brings the bytes to the disk and closes the temporary file.
    void finish();
    /// Finishes where that is still to do and renames the file into place. At most once.
    void commit();

  private:
    std::filesystem::path path_;
    std::filesystem::path temporary_;
    int descriptor_ = -1;
};

}  // namespace weft
