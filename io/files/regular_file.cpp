#include "io/files/regular_file.h"

#include <c10/util/StringUtil.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "io/files/error.h"

namespace weft {
namespace {

std::string reason(int code) {
    return std::generic_category().message(code);
}

std::string kind_of(mode_t mode) {
    if (S_ISDIR(mode)) {
        return "a folder";
    }
    return S_ISFIFO(mode) ? "a pipe" : "a device or socket";
}

}  // namespace

RegularFile::RegularFile(const std::filesystem::path& path) : path_(path) {
    // Non-blocking, so that a pipe without a writer is refused instead of waited for.
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor_ < 0) {
        const int code = errno;
        throw code == ENOENT ? Error(path.string(), "no such file", "check the path")
                             : Error(path.string(), c10::str("cannot be opened: ", reason(code)));
    }

    struct stat status {};

    const bool known = ::fstat(descriptor_, &status) == 0;
    if (!known || !S_ISREG(status.st_mode)) {
        ::close(descriptor_);
        throw Error(path.string(), known ? c10::str("is ", kind_of(status.st_mode), ", not a file")
                                         : reason(errno));
    }
    size_bytes_ = status.st_size;
}

RegularFile::~RegularFile() {
    ::close(descriptor_);
}

std::string RegularFile::head(int64_t count) const {
    std::string bytes(static_cast<size_t>(std::clamp<int64_t>(count, 0, size_bytes_)), '\0');
    size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t got = ::pread(descriptor_, bytes.data() + done, bytes.size() - done,
                                    static_cast<off_t>(done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            throw Error(path_.string(), c10::str("cannot be read: ", reason(errno)));
        }
        if (got == 0) {
            break;
        }
        done += static_cast<size_t>(got);
    }
    bytes.resize(done);
    return bytes;
}

}  // namespace weft
