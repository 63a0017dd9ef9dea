#include "io/media/pipe.h"

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "io/files/error.h"

namespace weft {
namespace {

constexpr int buffer_bytes = 1 << 16;
constexpr int poll_ms = 100;

int open_pipe(const std::filesystem::path& path) {
    if (path != "-")  // without waiting for a writer, which poll() does
        return ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (::isatty(STDIN_FILENO) != 0)
        throw Error("-", "standard input is a terminal", "pipe a clip into weft");
    return ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
}

}  // namespace

PipeInput::PipeInput(const std::filesystem::path& path, const std::atomic<bool>* stop)
    : file_(open_pipe(path)), stop_(stop) {
    if (file_ < 0)
        throw Error(path.string(), "may not be read", "check its permissions");
    auto* buffer = static_cast<unsigned char*>(av_malloc(buffer_bytes));
    TORCH_CHECK(buffer != nullptr, "out of memory");
    io_ = avio_alloc_context(buffer, buffer_bytes, 0, this, &PipeInput::read, nullptr, nullptr);
    TORCH_CHECK(io_ != nullptr, "out of memory");
    io_->seekable = 0;
}

PipeInput::~PipeInput() {
    av_freep(&io_->buffer);  // libav may have replaced the one it was given
    avio_context_free(&io_);
    ::close(file_);
}

/// Waits for data or the end; false where `stop` was set.
bool PipeInput::wait() const {
    pollfd place{.fd = file_, .events = POLLIN, .revents = 0};
    while (!stopped()) {
        const int ready = ::poll(&place, 1, poll_ms);
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return true;
    }
    return false;
}

int PipeInput::read(void* self, uint8_t* buffer, int size) {
    const auto& pipe = *static_cast<const PipeInput*>(self);
    while (pipe.wait()) {
        const ssize_t count = ::read(pipe.file_, buffer, static_cast<size_t>(size));
        if (count > 0)
            return static_cast<int>(count);
        if (count == 0)
            return AVERROR_EOF;
        if (errno != EAGAIN && errno != EINTR)
            return AVERROR(errno);
    }
    return AVERROR_EXIT;
}

}  // namespace weft
