#include <c10/util/StringUtil.h>

#include <algorithm>
#include <regex>
#include <set>
#include <system_error>

#include "io/files/dtypes.h"
#include "io/files/error.h"
#include "io/files/json_tree.h"
#include "io/files/safetensors.h"
#include "io/files/tensor_stream.h"
#include "io/files/whole_file.h"

namespace weft {
namespace {

constexpr size_t header_alignment = 8;

// What a shard's header takes at most beside the names: once, and for each tensor.
constexpr int64_t header_bytes = 128;
constexpr int64_t header_entry_bytes = 200;

int64_t size_bytes(const torch::Tensor& tensor) {
    return tensor.numel() * static_cast<int64_t>(tensor.element_size());
}

// Large elements first, so that every tensor starts at a multiple of its element's size; otherwise
// in the given order.
NamedTensors aligned_order(NamedTensors tensors) {
    std::stable_sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
        return a.second.element_size() > b.second.element_size();
    });
    return tensors;
}

void check_names(const NamedTensors& tensors) {
    std::set<std::string> names;
    for (const auto& [name, tensor] : tensors) {
        TORCH_CHECK(name != "__metadata__" && names.insert(name).second,
                    "tensor name given twice: ", name);
        TORCH_CHECK(tensor.defined() && !dtype_name(tensor.scalar_type()).empty(), "tensor ", name,
                    " has no safetensors dtype");
    }
}

std::string header_text(const NamedTensors& tensors,
                        const std::map<std::string, std::string>& metadata) {
    std::string text = "{";
    if (!metadata.empty()) {
        text += R"("__metadata__":{)";
        for (const auto& [name, value] : metadata) {
            text += text.back() == '{' ? "" : ",";
            text += c10::str(json_quoted(name), ":", json_quoted(value));
        }
        text += "}";
    }
    int64_t begin = 0;
    for (const auto& [name, tensor] : tensors) {
        const int64_t end = begin + size_bytes(tensor);
        text += text.size() == 1 ? "" : ",";
        text += c10::str(json_quoted(name), R"(:{"dtype":")", dtype_name(tensor.scalar_type()),
                         R"(","shape":[)", c10::Join(",", tensor.sizes()), R"(],"data_offsets":[)",
                         begin, ",", end, "]}");
        begin = end;
    }
    text += "}";
    text.append((header_alignment - text.size() % header_alignment) % header_alignment, ' ');
    return text;
}

// Writes and syncs everything; the caller commits.
WholeFile written(const std::filesystem::path& path, const NamedTensors& given,
                  const std::map<std::string, std::string>& metadata) {
    const NamedTensors tensors = aligned_order(given);
    const std::string header = header_text(tensors, metadata);
    const uint64_t length = header.size();
    WholeFile file(path);
    file.write(&length, sizeof length);
    file.write(header);
    for (const auto& [name, tensor] : tensors) {
        const auto bytes = tensor.detach().to(torch::kCPU).contiguous();
        file.write(bytes.data_ptr(), static_cast<size_t>(size_bytes(bytes)));
    }
    file.finish();
    return file;
}

// Cuts in the given order, so that files, headers included, stay within the limit.
std::vector<NamedTensors> shards_of(const NamedTensors& tensors, int64_t max_shard_bytes) {
    std::vector<NamedTensors> shards(1);
    int64_t filled = header_bytes;
    for (const auto& named : tensors) {
        const int64_t size = size_bytes(named.second) + header_entry_bytes +
                             static_cast<int64_t>(named.first.size());
        if (filled + size > max_shard_bytes && !shards.back().empty()) {
            shards.emplace_back();
            filled = header_bytes;
        }
        filled += size;
        shards.back().push_back(named);
    }
    return shards;
}

// "model-00002-of-00007.safetensors"
std::string shard_name(const std::string& stem, size_t index, size_t count) {
    const auto padded = [](size_t number) {
        const std::string digits = std::to_string(number);
        return std::string(5 - std::min<size_t>(digits.size(), 5), '0') + digits;
    };
    return c10::str(stem, "-", padded(index + 1), "-of-", padded(count), ".safetensors");
}

std::string index_text(const std::vector<NamedTensors>& shards, const std::string& stem) {
    int64_t total = 0;
    std::map<std::string, std::string> places;
    for (size_t i = 0; i < shards.size(); ++i) {
        for (const auto& [name, tensor] : shards[i]) {
            total += size_bytes(tensor);
            places[name] = shard_name(stem, i, shards.size());
        }
    }
    std::string text =
        c10::str("{\n  \"metadata\": {\"total_size\": ", total, "},\n  \"weight_map\": {");
    const char* separator = "\n";
    for (const auto& [name, place] : places) {
        text += c10::str(separator, "    ", json_quoted(name), ": ", json_quoted(place));
        separator = ",\n";
    }
    return text + "\n  }\n}\n";
}

// Removes what an earlier save under this stem left and the new one did not replace.
void remove_others(const std::filesystem::path& folder, const std::string& stem,
                   const std::set<std::string>& kept) {
    const std::regex ours(R"((-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?)");
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with(stem) && !kept.contains(name) &&
            std::regex_match(name.substr(stem.size()), ours)) {
            std::error_code ignored;
            std::filesystem::remove(entry.path(), ignored);
        }
    }
}

}  // namespace

void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata) {
    check_names(tensors);
    written(path, tensors, metadata).commit();
}

void save_safetensors(const std::filesystem::path& path, std::vector<StreamedTensor> tensors,
                      const std::map<std::string, std::string>& metadata) {
    std::stable_sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
        return c10::elementSize(a.dtype) > c10::elementSize(b.dtype);
    });
    // Tensors without data stand for those to come.
    NamedTensors outline;
    for (const StreamedTensor& tensor : tensors) {
        const auto options = at::device(at::kMeta).dtype(tensor.dtype);
        outline.emplace_back(tensor.name, at::empty(tensor.shape, options));
    }
    check_names(outline);
    const std::string header = header_text(outline, metadata);
    const uint64_t length = header.size();
    WholeFile file(path);
    file.write(&length, sizeof length);
    file.write(header);
    for (const StreamedTensor& tensor : tensors) {
        const auto bytes = tensor.make().detach().to(torch::kCPU).contiguous();
        TORCH_CHECK(bytes.sizes() == tensor.shape && bytes.scalar_type() == tensor.dtype, "tensor ",
                    tensor.name, " was made as ", bytes.sizes(), " ", bytes.scalar_type());
        file.write(bytes.data_ptr(), static_cast<size_t>(size_bytes(bytes)));
    }
    file.commit();
}

void save_sharded(const std::filesystem::path& folder, const std::string& stem,
                  const NamedTensors& tensors, int64_t max_shard_bytes) {
    check_names(tensors);
    const std::map<std::string, std::string> metadata{{"format", "pt"}};
    const auto shards = shards_of(tensors, max_shard_bytes);
    std::vector<WholeFile> files;
    std::set<std::string> names;
    for (size_t i = 0; i < shards.size(); ++i) {
        const std::string name =
            shards.size() == 1 ? stem + ".safetensors" : shard_name(stem, i, shards.size());
        names.insert(name);
        files.push_back(written(folder / name, shards[i], metadata));
    }
    if (shards.size() > 1) {
        const std::string name = stem + ".safetensors.index.json";
        names.insert(name);
        files.emplace_back(folder / name).write(index_text(shards, stem));
    }
    // All bytes are on the disk before the first name changes.
    for (WholeFile& file : files) {
        file.finish();
    }
    for (WholeFile& file : files) {
        file.commit();
    }
    remove_others(folder, stem, names);
}

}  // namespace weft
