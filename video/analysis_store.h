#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "temporal/noise_warp.h"
#include "video/clip.h"

namespace weft {

/// Motion of consecutive frames as it lies on disk, one row a frame: offsets in half precision,
/// masks a byte a pixel.
struct MotionRows {
    torch::Tensor backward;        // [n, 2, h, w] f16
    torch::Tensor forward;         // [n, 2, h, w] f16
    torch::Tensor backward_valid;  // [n, 1, h, w] u8
    torch::Tensor forward_valid;   // [n, 1, h, w] u8
};

/// Rows a file.
constexpr int64_t motion_rows_per_file = 32;

/// Name of the file that holds row `row`.
std::string motion_file(int64_t row);

/// Writes an analysis frame by frame into a folder. Thread-safe: no.
class AnalysisWriter {
  public:
    explicit AnalysisWriter(std::filesystem::path folder);

    /// How the next frame came from the one before; any motion for the first. All frames or none.
    void put(const FlowPair& motion);
    /// Completes the folder. `shots` are frame numbers.
    void finish(const std::vector<ClipFrame>& frames, const std::vector<int64_t>& shots);

  private:
    void write_rows();

    std::filesystem::path folder_;
    std::vector<double> share_;
    std::vector<FlowPair> pending_;
};

/// Frames as AnalysisWriter keeps them, [n, 5] i64. Throws Error naming `folder` for anything else.
std::vector<ClipFrame> clip_frames(const torch::Tensor& rows, const std::filesystem::path& folder);

/// A key for a cache: 16 hexadecimal digits that depend on a text and on a file's bytes, where its
/// path is not empty. Throws Error where the file cannot be read.
std::string content_key(const std::filesystem::path& file, const std::string& text);

/// Removes the folders of a cache that were used longest ago until the rest takes at most `most`
/// bytes. Never throws: another process may do the same.
void trim_cache(const std::filesystem::path& cache, uintmax_t most_bytes) noexcept;

}  // namespace weft
