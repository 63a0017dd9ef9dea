#include "temporal/at_once.h"

#include <ATen/Parallel.h>
#include <ATen/ThreadLocalState.h>

#include <algorithm>
#include <atomic>

namespace weft {

void at_once(int64_t count, const std::function<void(int64_t)>& work) {
    // Calls differ in length: a thread takes the next one when it is done.
    std::atomic<int64_t> next{0};
    const at::ThreadLocalState modes;
    at::parallel_for(0, std::min<int64_t>(count, at::get_num_threads()), 1,
                     [&](int64_t /*begin*/, int64_t /*end*/) {
                         const at::ThreadLocalStateGuard guard(modes);
                         try {
                             for (int64_t i = next++; i < count; i = next++) {
                                 work(i);
                             }
                         } catch (...) {
                             next = count;
                             throw;
                         }
                     });
}

}  // namespace weft
