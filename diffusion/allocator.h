#pragma once

#include <cstddef>

namespace weft {

// Note [Allocator]
// glibc gives a large block back to the kernel when it is freed and gets fresh pages for the next
// one: a denoiser step pays half a million page faults, each for 4 KiB. Here large blocks are kept
// for the next tensor of about the same size, and lie in huge pages. What is kept is bounded, so
// the memory of a long run stays that of a short one.

struct AllocatorLimits {
    std::size_t smallest_bytes = std::size_t{1} << 20;  // smaller blocks are left to malloc
    std::size_t kept_bytes = std::size_t{1} << 30;      // the most that is kept unused
};

/// Puts the caching allocator in place of LibTorch's on the CPU. Call once, first in main; later
/// calls change nothing. Thread-safe afterwards.
void install_allocator(const AllocatorLimits& limits = {});

/// What it holds, in bytes; all zero before install_allocator().
struct AllocatorUse {
    std::size_t live = 0;
    std::size_t kept = 0;
    std::size_t peak = 0;    // the most that live and kept were together
    std::size_t mapped = 0;  // blocks asked of the kernel so far (a count)
};

AllocatorUse allocator_use();

/// Gives every kept block back to the kernel.
void release_kept_blocks();

}  // namespace weft
