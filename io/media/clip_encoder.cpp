#include "io/media/clip_encoder.h"

#include <c10/util/StringUtil.h>

#include <utility>

#include "io/files/error.h"

namespace weft {

ClipEncoder::ClipEncoder(const StreamInfo& info, const WriteOptions& options,
                         const AVOutputFormat& target, std::string name)
    : name_(std::move(name)),
      info_(info),
      from_(options.from.value_or(Time())),
      encoder_(info, options, target, name_) {}

void ClipEncoder::check_size(const Frame& frame) const {
    TORCH_CHECK(frame.pixels.dim() == 3 && frame.pixels.size(1) == info_.height &&
                    frame.pixels.size(2) == info_.width,
                "frame ", frame.index, " is ", frame.pixels.sizes(), ", the clip is ", info_.height,
                " x ", info_.width);
}

void ClipEncoder::put(const Frame& frame) {
    check_size(frame);
    if (!lost_alpha_ && frame.pixels.size(0) == 4 && !encoder_.keeps_alpha())
        lost_alpha_ = frame.pixels[3].min().item<float>() < 0.999F;
    const Time time = frame.time - from_;
    encoder_.send(frame, time);
    if (frames_++ == 0)
        start_ = time;
    end_ = time + frame.duration;
}

void ClipEncoder::flush() {
    if (frames_ == 0)
        throw Error(name_, "there is no frame to write", "check --from and --to");
    encoder_.flush();
}

std::vector<std::string> ClipEncoder::warnings() const {
    std::vector<std::string> list;
    if (encoder_.is_444_for_odd_size())
        list.push_back(c10::str("the odd size ", info_.width, "x", info_.height,
                                " is coded as 4:4:4, which some players lack"));
    if (lost_alpha_)
        list.emplace_back(lost_alpha_warning);
    return list;
}

}  // namespace weft
