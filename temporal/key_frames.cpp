#include "temporal/key_frames.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "temporal/long_flow.h"

namespace weft {
namespace {

double share_of(const torch::Tensor& mask) {
    // Counted in whole numbers: the same whatever the order of the sum.
    return static_cast<double>(mask.sum().item<int64_t>()) / static_cast<double>(mask.numel());
}

}  // namespace

double covered_share(const FlowPair& motion, const FlowChecks& checks) {
    const auto& backward = motion.backward.offset;
    const auto& forward = motion.forward.offset;
    return std::min(share_of(in_bounds(backward) & consistent(backward, forward, checks)),
                    share_of(in_bounds(forward) & consistent(forward, backward, checks)));
}

KeyFramePlanner::KeyFramePlanner(const KeyFrameOptions& options) : options_(options) {
    TORCH_CHECK(options.every >= 0 && options.least >= 1 && options.most >= options.least,
                "key frames every ", options.every, ", ", options.least, " to ", options.most,
                " apart");
}

bool KeyFramePlanner::covered() const {
    return covered_share(*from_key_, options_.checks) >= options_.coverage;
}

void KeyFramePlanner::put(const FlowPair& motion) {
    ++last_;
    const auto gap = last_ - keys_.back();
    if (options_.every > 0) {
        if (gap == options_.every) {
            keys_.push_back(last_);
        }
        return;
    }
    from_key_ = from_key_ ? joined(*from_key_, motion) : motion;
    if (gap > options_.least && !covered()) {
        keys_.push_back(last_ - 1);
        from_key_ = motion;
    } else if (gap == options_.most) {
        keys_.push_back(last_);
        from_key_.reset();
    }
}

std::vector<int64_t> KeyFramePlanner::finish() {
    auto keys = std::move(keys_);
    const auto last = last_;
    if (keys.back() != last) {
        keys.push_back(last);
    }
    // A short rest: the key before it moves back to halve what both intervals hold together.
    const auto count = keys.size();
    if (options_.every == 0 && count >= 3 && keys[count - 1] - keys[count - 2] < options_.least) {
        const auto both = last - keys[count - 3];
        if (both <= options_.least) {
            keys.erase(keys.end() - 2);
        } else {
            keys[count - 2] = last - both / 2;
        }
    }
    *this = KeyFramePlanner(options_);
    return keys;
}

std::vector<int64_t> key_frames(int64_t first, int64_t end,
                                const std::function<FlowPair(int64_t frame)>& motion_into,
                                const KeyFrameOptions& options) {
    TORCH_CHECK(end > first, "a shot from ", first, " to ", end);
    KeyFramePlanner planner(options);
    for (int64_t frame = first + 1; frame < end; ++frame) {
        planner.put(options.every > 0 ? FlowPair{} : motion_into(frame));
    }
    auto keys = planner.finish();
    for (int64_t& key : keys) {
        key += first;
    }
    return keys;
}

}  // namespace weft
