#pragma once

#include <c10/util/StringUtil.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>

#include "io/files/error.h"

namespace weft {

/// An empty folder of its own for one test, removed with all it holds.
class Scratch {
  public:
    Scratch() {
        static std::atomic<int> count = 0;
        folder_ = std::filesystem::temp_directory_path() /
                  c10::str("weft-test-", ::getpid(), "-", count++);
        std::filesystem::create_directories(folder_);
    }

    ~Scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }

    const std::filesystem::path& folder() const { return folder_; }

    /// Writes `bytes` as file `name`, making its folders.
    std::filesystem::path write(const std::string& name, const std::string& bytes) const {
        auto path = folder_ / name;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path, std::ios::binary) << bytes;
        return path;
    }

    /// Number of files and folders directly inside.
    int64_t entries() const {
        return std::distance(std::filesystem::directory_iterator(folder_), {});
    }

  private:
    std::filesystem::path folder_;
};

/// The text of the Error that `action` throws; empty where it throws none. Other exceptions pass.
template <typename Action>
std::string error_of(const Action& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

}  // namespace weft
