#include "temporal/noise_chain.h"

#include <ATen/ATen.h>

namespace weft {
namespace {

constexpr int64_t fineness = 4;

NoiseKey at_frame(NoiseKey key, int64_t frame) {
    key.frame = frame;
    return key;
}

NoiseKey pieces_of(NoiseKey key) {
    key.purpose =
        key.purpose == NoisePurpose::start ? NoisePurpose::start_pieces : NoisePurpose::step_pieces;
    return key;
}

std::array<int64_t, 3> fine_shape(torch::IntArrayRef shape) {
    return {shape[0], shape[1] * fineness, shape[2] * fineness};
}

/// The sum over each cell divided by its side has the variance of one of its values.
torch::Tensor coarse(const torch::Tensor& fine) {
    return at::avg_pool2d(fine.unsqueeze(0), {fineness, fineness}).squeeze(0) * fineness;
}

}  // namespace

NoiseChain::NoiseChain(std::shared_ptr<const ClipMotion> motion) : motion_(std::move(motion)) {
    TORCH_CHECK(motion_ != nullptr, "noise that moves needs the clip's motion");
}

torch::Tensor NoiseChain::at(const NoiseKey& key, torch::IntArrayRef shape, Warp warp) const {
    TORCH_CHECK(shape.size() == 3, "noise of a frame has shape [c, h, w], not ", shape);
    TORCH_CHECK(key.purpose == NoisePurpose::start || key.purpose == NoisePurpose::step,
                "only start and step noise moves");
    const Stream stream{key.seed, key.purpose, key.step, shape.vec(), warp};
    const int64_t start = motion_->shot_start(key.frame);
    TORCH_CHECK(start <= key.frame, "the shot of frame ", key.frame, " starts at ", start);
    if (key.frame == start) {  // asked for again and again where frames see their shot's first one
        return coarse(normal_noise(key, fine_shape(shape)));
    }
    const std::lock_guard lock(mutex_);
    const auto found = last_.find(stream);
    const bool on_the_way =
        found != last_.end() && found->second.frame <= key.frame && found->second.frame >= start;
    Link link;
    if (on_the_way) {
        link = found->second;
    } else {
        link = {start, at_rest(normal_noise(at_frame(key, start), fine_shape(shape)))};
    }
    link = walk(std::move(link), key, warp);
    last_[stream] = link;
    return coarse(link.noise.noise);
}

NoiseChain::Link NoiseChain::walk(Link link, const NoiseKey& key, Warp warp) const {
    const auto height = link.noise.noise.size(1);
    const auto width = link.noise.noise.size(2);
    while (link.frame < key.frame) {
        ++link.frame;
        const NoiseKey own = at_frame(key, link.frame);
        const auto flow = motion_->into(link.frame, height, width);
        link.noise =
            warp(link.noise, flow,
                 {.pieces = pieces_of(own), .fresh = normal_noise(own, link.noise.noise.sizes())});
    }
    return link;
}

}  // namespace weft
