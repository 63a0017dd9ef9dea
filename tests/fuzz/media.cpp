// Feeds arbitrary bytes to the media border: every input is an Error or a clip whose first frames
// can be read and written again with its other streams. The last bytes choose how it is read.
// Run: fuzz_media CORPUS_FOLDER -max_total_time=1200 -rss_limit_mb=4096 -timeout=30
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "io/files/error.h"
#include "io/media/inspect.h"
#include "io/media/reader.h"
#include "io/media/writer.h"

namespace {

constexpr int most_frames = 12;

weft::ReadOptions options_from(const uint8_t* tail) {
    weft::ReadOptions options{.threads = 1, .max_pixels = 1 << 20};
    if ((tail[0] & 1) != 0)
        options.damage = weft::Damage::skip;
    if ((tail[0] & 2) != 0)
        options.from = weft::Position{.time = {}, .frame = tail[1]};
    if ((tail[0] & 4) != 0)
        options.to = weft::Position{.time = weft::Time(tail[2], 10), .frame = {}};
    return options;
}

void copy(const std::string& in, const weft::ReadOptions& options) {
    const auto source = weft::open_video(in, options);
    std::unique_ptr<weft::FrameSink> sink;
    const std::string out = c10::str("/dev/shm/weft-fuzz-", static_cast<long>(::getpid()), ".mkv");
    for (int i = 0; i < most_frames; ++i) {
        const auto frame = source->next();
        if (!frame)
            break;
        if (sink == nullptr)
            sink = weft::create_video(
                out, source->info(),
                {.codec = "raw", .side_source = in, .from = frame->time, .overwrite = true});
        sink->put(*frame);
    }
    if (sink != nullptr)
        sink->finish();
}

}  // namespace

// libFuzzer gives the name.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 4)
        return -1;
    const int memory = ::memfd_create("fuzz", MFD_CLOEXEC);
    if (memory < 0 || ::write(memory, data, size) != static_cast<ssize_t>(size))
        std::abort();
    const std::string path = c10::str("/proc/self/fd/", memory);
    try {
        static_cast<void>(weft::inspect_media(path));
        copy(path, options_from(data + size - 3));
    } catch (const weft::Error&) {
        size = 0;  // What a user is told.
    }
    ::close(memory);
    return 0;
}
