#pragma once

// Reading media from pipes, for sources of io/media only.

#include <atomic>
#include <filesystem>
#include <memory>

#include "io/media/libav.h"

namespace weft {

/// The bytes of standard input ("-") or a FIFO as libav reads them: forward only, and a wait for
/// data ends soon after `stop` is set. Thread-safe: no.
class PipeInput {
  public:
    /// @param stop may be null. Throws Error where the pipe cannot be opened or standard input is a
    ///        terminal
    PipeInput(const std::filesystem::path& path, const std::atomic<bool>* stop);
    PipeInput(const PipeInput&) = delete;
    PipeInput& operator=(const PipeInput&) = delete;
    ~PipeInput();

    /// Owned by this; must outlive the AVFormatContext that reads it.
    AVIOContext* io() const { return io_; }

    bool stopped() const { return stop_ != nullptr && stop_->load(); }

  private:
    static int read(void* self, uint8_t* buffer, int size);
    bool wait() const;

    int file_ = -1;
    const std::atomic<bool>* stop_;
    AVIOContext* io_ = nullptr;
};

}  // namespace weft
