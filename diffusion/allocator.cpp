#include "diffusion/allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <unordered_map>

namespace weft {
namespace {

constexpr size_t huge_page = size_t{2} << 20;
constexpr size_t small_page = size_t{4} << 10;

size_t rounded_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

// Sizes share a class where they differ by at most an eighth, so that a block fits the next tensor
// of its kind.
size_t class_of(size_t bytes) {
    const size_t eighth = std::bit_floor(bytes) / 8;
    return rounded_up(bytes, std::max(eighth, small_page));
}

// Anonymous pages that begin at a huge page; null where the kernel refuses.
void* map_pages(size_t bytes) {
    const size_t whole = bytes + huge_page;
    void* mapped = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return nullptr;
    }
    auto* const start = static_cast<char*>(mapped);
    const auto address = reinterpret_cast<uintptr_t>(mapped);
    const size_t before = rounded_up(address, huge_page) - address;
    if (before > 0) {
        munmap(start, before);
    }
    char* const aligned = start + before;
    munmap(aligned + bytes, whole - before - bytes);
    madvise(aligned, bytes, MADV_HUGEPAGE);
    return aligned;
}

class CachingAllocator final : public c10::Allocator {
  public:
    // Lives until the process ends: tensors may outlive main.
    static CachingAllocator& instance() {
        static auto* const allocator = new CachingAllocator;
        return *allocator;
    }

    void install(const AllocatorLimits& limits) {
        const std::lock_guard lock(mutex_);
        if (small_ == nullptr) {
            limits_ = limits;
            small_ = c10::GetDefaultCPUAllocator();
            constexpr uint8_t above_default = 1;
            c10::SetCPUAllocator(this, above_default);
        }
    }

    c10::DataPtr allocate(size_t bytes) override {
        void* const block =
            bytes < limits_.smallest_bytes ? small_->raw_allocate(bytes) : large(class_of(bytes));
        return {block, block, &CachingAllocator::free_block, c10::Device(c10::kCPU)};
    }

    c10::DeleterFnPtr raw_deleter() const override { return &CachingAllocator::free_block; }

    void copy_data(void* to, const void* from, size_t bytes) const override {
        std::memcpy(to, from, bytes);
    }

    AllocatorUse use() {
        const std::lock_guard lock(mutex_);
        return use_;
    }

    void release() {
        const std::lock_guard lock(mutex_);
        shrink_to(0);
    }

  private:
    struct Kept {
        void* block;
        size_t bytes;
    };

    using KeptList = std::list<Kept>;

    static void free_block(void* block) {
        CachingAllocator& self = instance();
        if (reinterpret_cast<uintptr_t>(block) % huge_page != 0 || !self.keep(block)) {
            self.small_->raw_deallocate(block);
        }
    }

    void* large(size_t bytes) {
        const std::lock_guard lock(mutex_);
        void* block = take(bytes);
        if (block == nullptr) {
            block = map_pages(bytes);
            ++use_.mapped;
        }
        if (block == nullptr) {  // what is kept may be what is missing
            shrink_to(0);
            block = map_pages(bytes);
        }
        TORCH_CHECK_WITH(OutOfMemoryError, block != nullptr, "can't allocate memory: ", bytes,
                         " bytes");
        live_.emplace(block, bytes);
        use_.live += bytes;
        use_.peak = std::max(use_.peak, use_.live + use_.kept);
        return block;
    }

    // The most recently kept block of this class.
    void* take(size_t bytes) {
        const auto found = by_size_.find(bytes);
        if (found == by_size_.end()) {
            return nullptr;
        }
        const KeptList::iterator kept = found->second;
        void* const block = kept->block;
        forget(found);
        return block;
    }

    // False where the block is not one of ours.
    bool keep(void* block) {
        const std::lock_guard lock(mutex_);
        const auto found = live_.find(block);
        if (found == live_.end()) {
            return false;
        }
        const size_t bytes = found->second;
        live_.erase(found);
        use_.live -= bytes;
        kept_.push_front({block, bytes});
        by_size_.emplace(bytes, kept_.begin());
        use_.kept += bytes;
        shrink_to(limits_.kept_bytes);
        return true;
    }

    // Gives back the blocks that were not asked for the longest.
    void shrink_to(size_t bytes) {
        while (use_.kept > bytes) {
            const auto oldest = std::prev(kept_.end());
            const Kept gone = *oldest;
            auto [first, last] = by_size_.equal_range(gone.bytes);
            while (first != last && first->second != oldest) {
                ++first;
            }
            forget(first);
            munmap(gone.block, gone.bytes);
        }
    }

    void forget(std::multimap<size_t, KeptList::iterator>::iterator entry) {
        use_.kept -= entry->first;
        kept_.erase(entry->second);
        by_size_.erase(entry);
    }

    std::mutex mutex_;
    AllocatorLimits limits_;
    c10::Allocator* small_ = nullptr;  // malloc; set by install()
    std::unordered_map<void*, size_t> live_;
    KeptList kept_;  // most recently used first
    std::multimap<size_t, KeptList::iterator> by_size_;
    AllocatorUse use_;
};

}  // namespace

void install_allocator(const AllocatorLimits& limits) {
    CachingAllocator::instance().install(limits);
}

AllocatorUse allocator_use() {
    return CachingAllocator::instance().use();
}

void release_kept_blocks() {
    CachingAllocator::instance().release();
}

}  // namespace weft
