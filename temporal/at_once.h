#pragma once

#include <cstdint>
#include <functional>

namespace weft {

/// Calls `work` with 0 .. count - 1, each once, as many at a time as LibTorch has threads; what a
/// call does itself runs on one thread. For work that keeps one core busy, such as small pictures
/// and loops of our own. Modes of autograd are the caller's. Within another such call: one by one.
/// @throws what one of the calls throws, after those that had begun have ended; no other begins
void at_once(int64_t count, const std::function<void(int64_t)>& work);

}  // namespace weft
