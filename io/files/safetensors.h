#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace weft {

/// Tensors with their names, in the order they are written.
using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// A memory-mapped safetensors file. The header is checked whole before any tensor is made: size,
/// UTF-8, nesting, duplicate keys, dtype, shape products, offsets contiguous and ending at the
/// file's end (https://github.com/huggingface/safetensors, "Format"). Only regular files open.
/// Never runs code. Thread-safe: yes (immutable; copies share the mapping).
class SafeTensors {
  public:
    /// Throws Error where the file is missing, no regular file, a pickle, or breaks a rule above.
    explicit SafeTensors(const std::filesystem::path& path);

    struct Entry {
        torch::ScalarType dtype;
        std::vector<int64_t> shape;
        int64_t begin_byte;  // from the start of the data section
        int64_t end_byte;
    };

    const std::map<std::string, Entry>& entries() const;
    const std::map<std::string, std::string>& metadata() const;
    bool has(const std::string& name) const;
    /// Error where there is no such tensor.
    const Entry& entry(const std::string& name) const;
    /// The tensor as a view of the mapping (read-only by convention; it keeps the mapping alive).
    /// Unaligned data is copied.
    torch::Tensor tensor(const std::string& name) const;
    /// Gives the memory of the tensor's pages back; the next read fetches them from the file again.
    /// For after a copy was made. Changes made through a view are lost.
    void drop_pages(const std::string& name) const;
    const std::filesystem::path& path() const;

  private:
    struct Mapping;
    std::shared_ptr<const Mapping> mapping_;
};

/// Writes one file under a temporary name and renames it when whole. Tensors are copied to the CPU
/// and made contiguous; f32, f16, bf16, i64, i32, u8, bool are written as they are.
void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata = {});

/// Writes `stem`.safetensors, or, above `max_shard_bytes` a file, `stem`-00001-of-0000N.safetensors
/// and `stem`.safetensors.index.json (the layout of diffusers and transformers). What an earlier
/// save left under `stem` is replaced. A tensor above the limit gets a file of its own.
void save_sharded(const std::filesystem::path& folder, const std::string& stem,
                  const NamedTensors& tensors, int64_t max_shard_bytes = 50'000'000);

}  // namespace weft
