#include "io/files/safetensors.h"

#include <c10/util/StringUtil.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>

#include "io/files/dtypes.h"
#include "io/files/error.h"
#include "io/files/json_tree.h"
#include "io/files/regular_file.h"
#include "io/files/text.h"

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

namespace weft {
namespace {

constexpr int64_t length_bytes = 8;
constexpr uint64_t max_header_bytes = 100'000'000;  // the limit of the reference implementation
constexpr size_t max_dimensions = 32;
constexpr const char* fetch_again = "the file is damaged or cut off; fetch or write it again";

struct DtypeName {
    std::string_view name;
    torch::ScalarType dtype;
};

constexpr auto dtype_names = std::to_array<DtypeName>({
    {"F32", torch::kFloat32},
    {"F16", torch::kFloat16},
    {"BF16", torch::kBFloat16},
    {"F64", torch::kFloat64},
    {"F8_E4M3", torch::kFloat8_e4m3fn},
    {"F8_E5M2", torch::kFloat8_e5m2},
    {"I64", torch::kInt64},
    {"I32", torch::kInt32},
    {"I16", torch::kInt16},
    {"I8", torch::kInt8},
    {"U8", torch::kUInt8},
    {"U16", torch::kUInt16},
    {"U32", torch::kUInt32},
    {"U64", torch::kUInt64},
    {"BOOL", torch::kBool},
});

struct Lookalike {
    std::string_view start;
    const char* cause;
    const char* way_out;
};

constexpr const char* convert =
    "convert it once where you trust it: python -c \"import sys, torch; from safetensors.torch "
    "import "
    "save_file; d = torch.load(sys.argv[1], weights_only=True); save_file(d.get('state_dict', d), "
    "sys.argv[2])\" IN OUT.safetensors";

// What lies about under the names of model files, by first bytes.
constexpr auto lookalikes = std::to_array<Lookalike>({
    {"PK\x03\x04", "is a PyTorch pickle, which can run code and is never opened", convert},
    {"\x80\x02", "is a PyTorch pickle, which can run code and is never opened", convert},
    {"version https://git-lfs", "is a Git LFS pointer, not the model itself", "run: git lfs pull"},
    {"<!DOCTYPE", "is a web page, not a model", "fetch the file itself, not the page about it"},
    {"<html", "is a web page, not a model", "fetch the file itself, not the page about it"},
    {"GGUF", "is a GGUF file, which weft does not read",
     "use the .safetensors version of the model"},
});

void refuse_lookalikes(const std::string& head, const std::string& where) {
    for (const Lookalike& other : lookalikes) {
        if (head.starts_with(other.start)) {
            throw Error(where, other.cause, other.way_out);
        }
    }
}

// Length of the header, checked against the file before anything is allocated.
int64_t header_length(const RegularFile& file, const std::string& where) {
    const std::string head = file.head(32);
    refuse_lookalikes(head, where);
    if (head.size() < length_bytes + 2) {
        throw Error(where,
                    c10::str("has ", file.size_bytes(), " bytes, too few for a safetensors file"),
                    fetch_again);
    }
    uint64_t length = 0;
    std::memcpy(&length, head.data(), sizeof length);
    const auto rest = static_cast<uint64_t>(file.size_bytes() - length_bytes);
    if (length > max_header_bytes || head[length_bytes] != '{') {
        throw Error(where, "is no safetensors file", "give a .safetensors file or a model folder");
    }
    if (length > rest) {
        throw Error(where,
                    c10::str("its header claims ", length, " bytes where ", rest, " are left"),
                    fetch_again);
    }
    return static_cast<int64_t>(length);
}

// Reads the fields of one tensor of the header; `what` names the tensor in errors.
class EntryReader {
  public:
    EntryReader(const JsonValue& value, std::string where, std::string what)
        : where_(std::move(where)), what_(std::move(what)) {
        fields_ = value.object();
        if (fields_ == nullptr) {
            fail(c10::str("is ", value.kind(), ", expected an object"));
        }
    }

    SafeTensors::Entry read() const {
        SafeTensors::Entry entry{dtype(), whole_numbers("shape"), 0, 0};
        const auto offsets = whole_numbers("data_offsets");
        if (offsets.size() != 2 || offsets[0] > offsets[1]) {
            fail("has data_offsets that are no [begin, end]");
        }
        entry.begin_byte = offsets[0];
        entry.end_byte = offsets[1];
        const int64_t expected = size_bytes(entry);
        if (entry.end_byte - entry.begin_byte != expected) {
            fail(c10::str("has ", entry.end_byte - entry.begin_byte, " bytes, but its shape needs ",
                          expected));
        }
        return entry;
    }

  private:
    [[noreturn]] void fail(const std::string& cause) const {
        throw Error(where_, c10::str("tensor ", what_, " ", cause), fetch_again);
    }

    const JsonValue& field(const std::string& name) const {
        const JsonValue* found = fields_->find(name);
        if (found == nullptr) {
            fail(c10::str("has no ", name));
        }
        return *found;
    }

    torch::ScalarType dtype() const {
        const auto* name = std::get_if<std::string>(&field("dtype").value);
        const auto found = name != nullptr ? dtype_of(*name) : std::nullopt;
        if (!found) {
            fail(c10::str("has the unknown dtype ",
                          name != nullptr ? quoted_name(*name) : "(no text)"));
        }
        return *found;
    }

    std::vector<int64_t> whole_numbers(const std::string& name) const {
        const JsonList* list = field(name).list();
        if (list == nullptr || list->size() > max_dimensions) {
            fail(c10::str("has a ", name, " that is no list of at most ", max_dimensions,
                          " numbers"));
        }
        std::vector<int64_t> values;
        for (const JsonValue& item : *list) {
            const auto* value = std::get_if<int64_t>(&item.value);
            if (value == nullptr || *value < 0) {
                fail(c10::str("has a ", name, " that holds other than whole numbers from 0"));
            }
            values.push_back(*value);
        }
        return values;
    }

    int64_t size_bytes(const SafeTensors::Entry& entry) const {
        auto total = static_cast<int64_t>(c10::elementSize(entry.dtype));
        // Sizes without their zeros, so that [0, 2^62, 4] cannot overflow later either.
        int64_t bound = total;
        for (const int64_t size : entry.shape) {
            if (__builtin_mul_overflow(bound, std::max<int64_t>(size, 1), &bound)) {
                fail("has a shape whose size overflows");
            }
            total *= size;
        }
        return total;
    }

    std::string where_;
    std::string what_;
    const JsonObject* fields_ = nullptr;
};

std::map<std::string, std::string> read_metadata(const JsonValue& value, const std::string& where) {
    std::map<std::string, std::string> metadata;
    const JsonObject* object = value.object();
    if (object == nullptr) {
        throw Error(where, "__metadata__ is no object", fetch_again);
    }
    for (const auto& [name, item] : object->members) {
        const auto* text = std::get_if<std::string>(&item.value);
        if (text == nullptr) {
            throw Error(where,
                        c10::str("__metadata__ ", quoted_name(name), " is ", item.kind(),
                                 ", expected a text"),
                        fetch_again);
        }
        metadata[name] = *text;
    }
    return metadata;
}

// Every byte of the data section belongs to exactly one tensor.
void check_layout(const std::map<std::string, SafeTensors::Entry>& entries, int64_t data_bytes,
                  const std::string& where) {
    std::vector<std::pair<int64_t, int64_t>> spans;
    spans.reserve(entries.size());
    for (const auto& [name, entry] : entries) {
        spans.emplace_back(entry.begin_byte, entry.end_byte);
    }
    std::sort(spans.begin(), spans.end());
    int64_t end = 0;
    for (const auto& [begin_byte, end_byte] : spans) {
        if (begin_byte != end) {
            throw Error(where,
                        c10::str(begin_byte < end ? "tensors overlap" : "there is a hole",
                                 " at byte ", std::min(begin_byte, end), " of the data"),
                        fetch_again);
        }
        end = end_byte;
    }
    if (end != data_bytes) {
        throw Error(where,
                    c10::str("its tensors take ", end, " bytes, but ", data_bytes, " are there"),
                    fetch_again);
    }
}

// Takes a mapping down again.
struct Unmap {
    size_t size_bytes = 0;

    void operator()(char* start) const { ::munmap(start, size_bytes); }
};

}  // namespace

std::optional<torch::ScalarType> dtype_of(std::string_view name) {
    for (const DtypeName& entry : dtype_names) {
        if (entry.name == name) {
            return entry.dtype;
        }
    }
    return std::nullopt;
}

std::string_view dtype_name(torch::ScalarType dtype) {
    for (const DtypeName& entry : dtype_names) {
        if (entry.dtype == dtype) {
            return entry.name;
        }
    }
    return {};
}

struct SafeTensors::Mapping {
    explicit Mapping(std::filesystem::path file_path) : path(std::move(file_path)) {
        const RegularFile file(path);
        const std::string where = path.string();
        const int64_t header = header_length(file, where);
        map(file, where);
        // Parsed where it lies: a header that breaks early costs no memory, however long it is.
        read_header({region.get() + length_bytes, static_cast<size_t>(header)});
        check_layout(entries, file.size_bytes() - length_bytes - header, where);
        data = region.get() + length_bytes + header;
    }

    // Private and writable: an operation in place by mistake changes memory, never the file.
    void map(const RegularFile& file, const std::string& where) {
        const auto size = static_cast<size_t>(file.size_bytes());
        void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
                              file.descriptor(), 0);
        if (mapped == MAP_FAILED) {
            throw Error(where, c10::str("cannot be mapped into memory: ",
                                        std::generic_category().message(errno)));
        }
        region = std::unique_ptr<char, Unmap>(static_cast<char*>(mapped), Unmap{size});
    }

    // For the tensor's whole pages; those at its ends hold neighbours too.
    void advise(const Entry& entry, int advice) const {
        const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
        const auto begin =
            reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(entry.begin_byte);
        const auto end = begin + static_cast<uintptr_t>(entry.end_byte - entry.begin_byte);
        const uintptr_t first = (begin + page - 1) / page * page;
        const uintptr_t last = end / page * page;
        if (first < last) {
            char* start = region.get();
            ::madvise(start + (first - reinterpret_cast<uintptr_t>(start)), last - first, advice);
        }
    }

    void read_header(std::string_view text) {
        const std::string where = path.string();
        const auto header = parse_json(text, where);
        for (const auto& [name, value] : header->members) {
            if (name == "__metadata__") {
                metadata = read_metadata(value, where);
            } else {
                entries.emplace(name, EntryReader(value, where, quoted_name(name)).read());
            }
        }
    }

    std::filesystem::path path;
    std::map<std::string, Entry> entries;
    std::map<std::string, std::string> metadata;

    std::unique_ptr<char, Unmap> region;
    char* data = nullptr;
};

SafeTensors::SafeTensors(const std::filesystem::path& path)
    : mapping_(std::make_shared<const Mapping>(path)) {}

const std::map<std::string, SafeTensors::Entry>& SafeTensors::entries() const {
    return mapping_->entries;
}

const std::map<std::string, std::string>& SafeTensors::metadata() const {
    return mapping_->metadata;
}

bool SafeTensors::has(const std::string& name) const {
    return mapping_->entries.contains(name);
}

const std::filesystem::path& SafeTensors::path() const {
    return mapping_->path;
}

void SafeTensors::drop_pages(const std::string& name) const {
    mapping_->advise(entry(name), MADV_DONTNEED);
}

const SafeTensors::Entry& SafeTensors::entry(const std::string& name) const {
    const auto found = mapping_->entries.find(name);
    if (found == mapping_->entries.end()) {
        throw Error(path().string(), c10::str("has no tensor ", quoted_name(name)),
                    "the file is incomplete or of another kind of model");
    }
    return found->second;
}

torch::Tensor SafeTensors::tensor(const std::string& name) const {
    const Entry& entry = this->entry(name);
    if (entry.begin_byte == entry.end_byte) {
        return at::empty(entry.shape, entry.dtype);
    }
    // Read in one go: page by page a disk is twice as slow.
    mapping_->advise(entry, MADV_WILLNEED);
    char* bytes = mapping_->data + entry.begin_byte;
    const auto alignment = c10::elementSize(entry.dtype);
    if (reinterpret_cast<uintptr_t>(bytes) % alignment != 0) {
        auto copy = at::empty(entry.shape, entry.dtype);
        std::memcpy(copy.data_ptr(), bytes, static_cast<size_t>(entry.end_byte - entry.begin_byte));
        return copy;
    }
    const auto keep = [mapping = mapping_](void* /*bytes*/) {};
    if (entry.dtype == torch::kBool) {
        // A byte other than 0 and 1 is no bool in C++.
        return at::from_blob(bytes, entry.shape, keep, at::dtype(torch::kUInt8)).ne(0);
    }
    return at::from_blob(bytes, entry.shape, keep, at::dtype(entry.dtype));
}

}  // namespace weft
