#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace weft {

/// A regular file open for reading. Folders, pipes and devices are refused without being read, so
/// that no open ever blocks. Owns the descriptor. Thread-safe: no.
class RegularFile {
  public:
    /// Throws Error where `path` is missing, unreadable or no regular file.
    explicit RegularFile(const std::filesystem::path& path);
    ~RegularFile();
    RegularFile(const RegularFile&) = delete;
    RegularFile& operator=(const RegularFile&) = delete;

    int64_t size_bytes() const { return size_bytes_; }

    int descriptor() const { return descriptor_; }

    /// The first `count` bytes, or fewer where the file is shorter.
    std::string head(int64_t count) const;

  private:
    std::filesystem::path path_;
    int descriptor_ = -1;
    int64_t size_bytes_ = 0;
};

}  // namespace weft
