#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "video/measure.h"

namespace weft {

/// One measured frame as pictures for a page: "data:image/jpeg;base64,..." each.
struct Exhibit {
    FrameFigures figures;
    double excess = 0;  // warp error above the identity edit's at the same frame
    std::string source;
    std::string edited;
    std::string flow;       // direction as hue, length as saturation, white: still
    std::string error;      // black 0 to white 0.25 and more; blue: not valid
    double longest_px = 0;  // flow length that is drawn fully saturated
};

/// Chooses what a page shows while a measurement runs: the frames with the largest excess of warp
/// error of each clip, and some frames spread over the clip. Memory does not depend on its length.
/// Thread-safe: no.
class Gallery {
  public:
    static constexpr size_t worst_count = 6;

    /// Give this to MeasureOptions::on_pair.
    void see(const MeasuredPair& pair);

    /// The worst frames of a clip, the worst first. Frames that mostly are new (across cuts) are
    /// left out.
    std::vector<Exhibit> worst(size_t clip) const;
    /// Between 4 and 7 frames spread over the clip (all of a clip of fewer), in order.
    std::vector<Exhibit> spread(size_t clip) const;

  private:
    struct Wall {
        std::vector<Exhibit> worst;   // by falling excess
        std::vector<Exhibit> spread;  // every `spacing` frames
        int64_t spacing = 1;
        int64_t seen = 0;
    };

    std::map<size_t, Wall> walls_;
    double identity_error_ = 0;  // of the current frame
};

/// Colours of a flow field, [3, h, w] in [0, 1]: hue for direction, saturation for length up to
/// `longest_px`.
torch::Tensor flow_colors(const torch::Tensor& offset, double longest_px);

/// A picture [3, h, w] in [0, 1] as an address that a page can hold.
std::string jpeg_address(const torch::Tensor& picture);

}  // namespace weft
