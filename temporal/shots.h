#pragma once

#include <torch/types.h>

#include <cstdint>
#include <deque>
#include <vector>

namespace weft {

/// Finds the frames where a new shot begins, from pictures alone and in one pass. A frame is a cut
/// where none of the frames from it on (`reach` of them) resembles any of the `reach` frames before
/// it. So a flash is no cut, since the scene comes back; a dissolve or a fade is none, since
/// neighbours resemble each other; and a shot shorter than `reach` frames between two halves of
/// another counts as a flash.
///
/// Likeness is judged on small grey pictures without their slow shading, at the best of the shifts
/// within a quarter of the frame, so that neither a fast pan nor an even change of brightness looks
/// like a cut. Thread-safe: no.
class CutDetector {
  public:
    static constexpr int64_t reach = 6;

    /// Takes the next frame, [3, h, w] in [0, 1], any size.
    void put(const torch::Tensor& picture);

    /// All cuts, as numbers of put() calls counted from 0, rising; frame 0 is never one. Call it
    /// after the last frame.
    std::vector<int64_t> finish();

  private:
    struct Sketch {
        torch::Tensor spectrum;  // of the zero-padded sketch
        double energy;           // mean square
        /// Likeness to the frames before, the nearest first; at most 2 reach - 1 of them.
        std::vector<double> likeness;
    };

    bool is_cut(int64_t frame) const;
    static Sketch sketch(const torch::Tensor& picture);
    static double likeness(const Sketch& a, const Sketch& b);

    std::deque<Sketch> recent_;  // the last 2 reach frames
    int64_t count_ = 0;          // frames put
    std::vector<int64_t> cuts_;
};

}  // namespace weft
