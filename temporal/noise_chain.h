#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "temporal/noise_warp.h"

namespace weft {

/// The motion of a clip, frame by frame. Thread-safe: yes.
class ClipMotion {
  public:
    ClipMotion() = default;
    ClipMotion(const ClipMotion&) = delete;
    ClipMotion& operator=(const ClipMotion&) = delete;
    virtual ~ClipMotion() = default;

    /// First frame of the shot that holds `frame`; at most `frame`.
    virtual int64_t shot_start(int64_t frame) const = 0;

    /// Motion from frame - 1 to `frame`, on a grid of the given size over the whole picture that is
    /// denoised. Only for a frame after the first of its shot.
    virtual FlowPair into(int64_t frame, int64_t height, int64_t width) const = 0;
};

/// The noise of a clip as it moves with the scene: fresh at the first frame of each shot, warped
/// from frame to frame after it. It is carried on a grid four times as fine as the noise that is
/// wanted, each way, so that motion of a quarter of a latent pixel is followed without mixing; the
/// fine noise of a cell, summed and divided by four, is white noise again.
///
/// The noise of a frame depends on its key and the shot's motion only, whatever was asked before.
/// Frames asked for in order cost one warp each (a cache holds the last one of every stream, 64
/// floats a latent value); other orders walk from the start of the shot. Thread-safe: yes.
class NoiseChain {
  public:
    using Warp = MovingNoise (*)(const MovingNoise& from, const FlowPair& flow,
                                 const NoiseWarpDraws& draws);

    explicit NoiseChain(std::shared_ptr<const ClipMotion> motion);

    /// @param shape [c, h, w] of the noise that is wanted
    torch::Tensor at(const NoiseKey& key, torch::IntArrayRef shape, Warp warp) const;

  private:
    // Everything of a key but the frame, the shape and the method.
    using Stream = std::tuple<uint64_t, NoisePurpose, uint32_t, std::vector<int64_t>, Warp>;

    struct Link {
        int64_t frame;
        MovingNoise noise;
    };

    Link walk(Link link, const NoiseKey& key, Warp warp) const;

    std::shared_ptr<const ClipMotion> motion_;
    mutable std::mutex mutex_;
    mutable std::map<Stream, Link> last_;
};

}  // namespace weft
