#include "io/files/whole_file.h"

#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "io/files/error.h"

namespace weft {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, int code) {
    if (code == ENOSPC || code == EDQUOT || code == EFBIG) {
        throw Error(path.string(), "the disk is full or the file too large for it",
                    "free some space, or write to another disk");
    }
    throw Error(path.string(),
                c10::str("cannot be written: ", std::generic_category().message(code)),
                "check that its folder exists and may be written to");
}

// The place itself, behind any link; a place that is taken by something other than a file is
// refused.
std::filesystem::path place(const std::filesystem::path& path) {
    std::error_code code;
    const auto status = std::filesystem::status(path, code);
    if (!std::filesystem::exists(status)) {
        return path;
    }
    if (!std::filesystem::is_regular_file(status)) {
        throw Error(path.string(), "exists and is not a file", "give another name");
    }
    const auto real = std::filesystem::canonical(path, code);
    return code ? path : real;
}

// A rename is on the disk once its folder is; file systems that cannot sync a folder are left be.
void sync_folder(const std::filesystem::path& file) {
    const auto folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        ::fsync(descriptor);
        ::close(descriptor);
    }
}

}  // namespace

WholeFile::WholeFile(const std::filesystem::path& path) : path_(place(path)) {
    for (int attempt = 0; descriptor_ < 0; ++attempt) {
        temporary_ = path_;
        temporary_ += c10::str(".part-", ::getpid(), "-", attempt);
        descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor_ < 0 && (errno != EEXIST || attempt >= 1000)) {
            fail(path_, errno);
        }
    }
}

WholeFile::WholeFile(WholeFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

WholeFile::~WholeFile() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
    if (!temporary_.empty()) {
        ::unlink(temporary_.c_str());
    }
}

void WholeFile::write(const void* data, size_t size_bytes) {
    TORCH_CHECK(descriptor_ >= 0, "write to a finished file ", path_.string());
    const char* bytes = static_cast<const char*>(data);
    while (size_bytes > 0) {
        const ssize_t put = ::write(descriptor_, bytes, size_bytes);
        if (put < 0 && errno != EINTR) {
            fail(path_, errno);
        }
        if (put > 0) {
            bytes += put;
            size_bytes -= static_cast<size_t>(put);
        }
    }
}

void WholeFile::finish() {
    if (descriptor_ < 0) {
        return;
    }
    // Some file systems report a full disk only here. EINVAL: the file system has no sync.
    const int synced = ::fsync(descriptor_) == 0 || errno == EINVAL ? 0 : errno;
    const int closed = ::close(std::exchange(descriptor_, -1)) == 0 ? 0 : errno;
    if (synced != 0 || closed != 0) {
        fail(path_, synced != 0 ? synced : closed);
    }
}

void WholeFile::commit() {
    TORCH_CHECK(!temporary_.empty(), "second commit of ", path_.string());
    finish();
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
        fail(path_, errno);
    }
    temporary_.clear();
    sync_folder(path_);
}

}  // namespace weft
