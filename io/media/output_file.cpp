#include "io/media/output_file.h"

#include <c10/util/StringUtil.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "io/files/error.h"

namespace weft {
namespace fs = std::filesystem;

namespace {

std::string system_text(int code) {
    return std::generic_category().message(code);
}

fs::path folder_of(const fs::path& path) {
    const fs::path parent = path.parent_path();
    return parent.empty() ? fs::path(".") : parent;
}

/// Creates or empties the part file, which proves that the folder can be written, and locks it as
/// long as the result is open. A part that a killed run left behind is not locked and is reused.
int create_part(const fs::path& part, const fs::path& target) {
    const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        throw Error(target.string(), "cannot be written: " + system_text(errno),
                    "choose a folder you may write to");
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        ::close(fd);
        throw Error(target.string(), "is being written by another run",
                    "wait for it or choose another name");
    }
    if (::ftruncate(fd, 0) != 0) {
        const int failure = errno;
        ::close(fd);
        throw Error(target.string(), "cannot be written: " + system_text(failure),
                    "choose another folder");
    }
    return fd;
}

int sync_path(const fs::path& path, int flags) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
    if (fd < 0)
        return errno;
    const int failure = ::fsync(fd) == 0 ? 0 : errno;
    ::close(fd);
    return failure;
}

}  // namespace

bool same_file(const fs::path& a, const fs::path& b) {
    struct stat first {};

    struct stat second {};

    return ::stat(a.c_str(), &first) == 0 && ::stat(b.c_str(), &second) == 0 &&
           first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

OutputFile::OutputFile(fs::path target, Existing existing)
    : target_(std::move(target)),
      part_(folder_of(target_) / c10::str(".", target_.filename().string(), ".weft-part")) {
    std::error_code ignored;
    if (target_.filename().empty() || fs::is_directory(target_, ignored))
        throw Error(target_.string(), "is a folder", "name a file to write");
    if (!fs::is_directory(folder_of(target_), ignored))
        throw Error(target_.string(), "its folder does not exist", "create the folder first");
    if (existing == Existing::refuse && fs::exists(target_, ignored))
        throw Error(target_.string(), "exists already", "choose another name or pass --overwrite");
    if (fs::exists(target_, ignored) && !fs::is_regular_file(target_, ignored))
        throw Error(target_.string(), "is no regular file", "name a file to write");
    lock_ = create_part(part_, target_);
}

OutputFile::~OutputFile() {
    if (!committed_)
        ::unlink(part_.c_str());
    ::close(lock_);
}

void OutputFile::commit() {
    int failure = sync_path(part_, O_RDONLY);
    if (failure == 0 && ::rename(part_.c_str(), target_.c_str()) != 0)
        failure = errno;
    if (failure != 0)
        throw Error(target_.string(), "cannot be completed: " + system_text(failure),
                    "free some space or choose another folder");
    committed_ = true;
    // The name itself is on the disk once the folder is; some file systems refuse this, harmlessly.
    static_cast<void>(sync_path(folder_of(target_), O_RDONLY | O_DIRECTORY));
}

}  // namespace weft
