#include "video/analysis_store.h"

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "io/files/error.h"
#include "io/files/safetensors.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

/// FNV-1a over 8 bytes at a time, with the finaliser of MurmurHash3: names files, guards nothing.
class KeyHash {
  public:
    void add(const char* bytes, size_t count) {
        for (size_t i = 0; i < count; i += 8) {
            uint64_t word = 0;
            std::memcpy(&word, bytes + i, std::min<size_t>(8, count - i));
            hash_ = (hash_ ^ word) * 0x100000001b3ULL;
            hash_ ^= hash_ >> 29;
        }
    }

    std::string hex() const {
        uint64_t mixed = hash_;
        mixed = (mixed ^ (mixed >> 33)) * 0xff51afd7ed558ccdULL;
        mixed = (mixed ^ (mixed >> 33)) * 0xc4ceb9fe1a85ec53ULL;
        mixed ^= mixed >> 33;
        std::array<char, 17> text{};
        std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(mixed));
        return text.data();
    }

  private:
    uint64_t hash_ = 0xcbf29ce484222325ULL;
};

torch::Tensor stacked(const std::vector<FlowPair>& pairs, torch::Tensor FlowField::*part,
                      FlowField FlowPair::*way, torch::ScalarType type) {
    std::vector<torch::Tensor> rows;
    rows.reserve(pairs.size());
    for (const FlowPair& pair : pairs) {
        rows.push_back((pair.*way.*part).to(torch::kCPU, type));
    }
    return torch::cat(rows);
}

uintmax_t bytes_in(const fs::path& folder) {
    uintmax_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(folder)) {
        bytes += entry.file_size();
    }
    return bytes;
}

torch::Tensor frame_rows(const std::vector<ClipFrame>& frames) {
    std::vector<int64_t> flat;
    flat.reserve(frames.size() * 5);
    for (const ClipFrame& frame : frames) {
        flat.insert(flat.end(), {frame.index, frame.time.num(), frame.time.den(),
                                 frame.duration.num(), frame.duration.den()});
    }
    return torch::tensor(flat, torch::kInt64).view({-1, 5});
}

}  // namespace

std::vector<ClipFrame> clip_frames(const torch::Tensor& rows, const fs::path& folder) {
    const auto wrong = [&] {
        return Error(folder.string(), "is no analysis of a clip", "delete the folder");
    };
    if (rows.dim() != 2 || rows.size(1) != 5 || rows.size(0) < 1 || rows.dtype() != torch::kInt64) {
        throw wrong();
    }
    const auto values = rows.contiguous();
    const auto* row = values.data_ptr<int64_t>();
    std::vector<ClipFrame> frames;
    frames.reserve(static_cast<size_t>(values.size(0)));
    for (int64_t i = 0; i < values.size(0); ++i, row += 5) {
        if (row[2] <= 0 || row[4] <= 0 || (!frames.empty() && row[0] <= frames.back().index)) {
            throw wrong();
        }
        frames.push_back({row[0], Time(row[1], row[2]), Time(row[3], row[4])});
    }
    return frames;
}

std::string motion_file(int64_t row) {
    std::array<char, 48> name{};
    std::snprintf(name.data(), name.size(), "motion-%08lld.safetensors",
                  static_cast<long long>(row / motion_rows_per_file));
    return name.data();
}

AnalysisWriter::AnalysisWriter(fs::path folder) : folder_(std::move(folder)) {}

void AnalysisWriter::put(const FlowPair& motion) {
    share_.push_back(
        share_.empty() ? 0 : motion.backward.valid.to(torch::kFloat32).mean().item<double>());
    pending_.push_back(motion);
    if (static_cast<int64_t>(pending_.size()) == motion_rows_per_file) {
        write_rows();
    }
}

void AnalysisWriter::write_rows() {
    if (pending_.empty()) {
        return;
    }
    const auto last = static_cast<int64_t>(share_.size()) - 1;
    const auto rows = [&](auto part, auto way, torch::ScalarType type) {
        return stacked(pending_, part, way, type);
    };
    save_safetensors(
        folder_ / motion_file(last),
        {{"backward", rows(&FlowField::offset, &FlowPair::backward, torch::kFloat16)},
         {"forward", rows(&FlowField::offset, &FlowPair::forward, torch::kFloat16)},
         {"backward_valid", rows(&FlowField::valid, &FlowPair::backward, torch::kUInt8)},
         {"forward_valid", rows(&FlowField::valid, &FlowPair::forward, torch::kUInt8)}});
    pending_.clear();
}

void AnalysisWriter::finish(const std::vector<ClipFrame>& frames,
                            const std::vector<int64_t>& shots) {
    write_rows();
    share_.resize(frames.size());
    save_safetensors(folder_ / "index.safetensors",
                     {{"frames", frame_rows(frames)},
                      {"shots", torch::tensor(shots, torch::kInt64)},
                      {"valid_share", torch::tensor(share_, torch::kFloat32)}});
}

std::string content_key(const fs::path& file, const std::string& text) {
    KeyHash hash;
    hash.add(text.data(), text.size());
    if (file.empty()) {
        return hash.hex();
    }
    std::ifstream bytes(file, std::ios::binary);
    std::vector<char> block(1 << 20);
    while (bytes.read(block.data(), static_cast<std::streamsize>(block.size())) ||
           bytes.gcount() > 0) {
        hash.add(block.data(), static_cast<size_t>(bytes.gcount()));
    }
    if (!bytes.eof()) {
        throw Error(file.string(), "cannot be read", "check that it exists and may be read");
    }
    return hash.hex();
}

void trim_cache(const fs::path& cache, uintmax_t most_bytes) noexcept {
    struct Entry {
        fs::file_time_type used;
        fs::path folder;
        uintmax_t bytes;
    };

    try {
        std::vector<Entry> entries;
        for (const auto& entry : fs::directory_iterator(cache)) {
            if (entry.is_directory()) {
                entries.push_back({entry.last_write_time(), entry.path(), bytes_in(entry.path())});
            }
        }
        std::sort(entries.begin(), entries.end(),
                  [](const Entry& a, const Entry& b) { return a.used > b.used; });
        uintmax_t kept = 0;
        for (const Entry& entry : entries) {
            kept += entry.bytes;
            if (kept > most_bytes && kept > entry.bytes) {  // the newest one stays
                fs::remove_all(entry.folder);
            }
        }
    } catch (const std::exception&) {
        // What cannot be removed now is removed by a later run.
        return;
    }
}

}  // namespace weft
