// Feeds arbitrary bytes to the safetensors border: every input is an Error or a file whose tensors
// can all be read. Run: fuzz_safetensors CORPUS_FOLDER -max_total_time=60
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "io/files/error.h"
#include "io/files/safetensors.h"

namespace {

// Reads every byte, so that the sanitizer sees a tensor that leaves its file.
int64_t total(const torch::Tensor& tensor) {
    int64_t sum = 0;
    const auto* bytes = static_cast<const unsigned char*>(tensor.data_ptr());
    for (size_t i = 0; i < tensor.nbytes(); ++i) {
        sum += bytes[i];
    }
    return sum;
}

}  // namespace

// libFuzzer gives the name.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const int memory = ::memfd_create("fuzz", MFD_CLOEXEC);
    if (memory < 0 || ::write(memory, data, size) != static_cast<ssize_t>(size)) {
        std::abort();
    }
    int64_t sum = 0;
    try {
        const weft::SafeTensors file(c10::str("/proc/self/fd/", memory));
        for (const auto& [name, entry] : file.entries()) {
            sum += total(file.tensor(name));
        }
    } catch (const weft::Error&) {
        sum = 0;
    }
    ::close(memory);
    return sum < 0 ? -1 : 0;
}
