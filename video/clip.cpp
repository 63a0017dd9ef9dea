#include "video/clip.h"

#include <utility>

#include "io/files/error.h"
#include "io/media/retime.h"

namespace weft {
namespace {

/// Frames that are decoded and passed over rather than reached by opening the source anew, which
/// reads all packets before them.
constexpr int64_t near_frames = 120;

}  // namespace

std::unique_ptr<FrameSource> open_clip(const ClipSource& source) {
    auto frames = open_video(source.path, source.reading);
    return source.rate ? at_rate(std::move(frames), *source.rate) : std::move(frames);
}

ClipCursor::ClipCursor(ClipSource source, std::vector<ClipFrame> frames)
    : source_(std::move(source)), frames_(std::move(frames)) {
    TORCH_CHECK(!frames_.empty(), "a clip without frames");
}

void ClipCursor::open_at(int64_t place) {
    auto reading = source_.reading;
    // Where damage is passed over, only reading from the part's begin counts frames as before.
    const bool exact = reading.damage == Damage::refuse;
    if (exact && place > 0)
        reading.from = Position{.time = {}, .frame = frames_[static_cast<size_t>(place)].index};
    open_ = masked(open_video(source_.path, reading), source_.mask);
    next_ = exact ? place : 0;
}

const StreamInfo& ClipCursor::info() {
    if (open_ == nullptr)
        open_at(0);
    return open_->info();
}

Frame ClipCursor::at(int64_t place) {
    TORCH_CHECK(place >= 0 && place < static_cast<int64_t>(frames_.size()), "place ", place, " of ",
                frames_.size(), " frames");
    if (open_ == nullptr || place < next_ || place > next_ + near_frames)
        open_at(place);
    const ClipFrame& wanted = frames_[static_cast<size_t>(place)];
    while (auto frame = open_->next()) {
        if (frame->index < wanted.index)
            continue;
        if (frame->index > wanted.index)
            break;
        next_ = place + 1;
        frame->time = wanted.time;
        frame->duration = wanted.duration;
        return std::move(*frame);
    }
    throw Error(source_.path.string(),
                c10::str("frame ", wanted.index, " is not where it was when the clip was analysed"),
                "do not change it while it is edited");
}

std::vector<std::string> ClipCursor::warnings() const {
    return open_ == nullptr ? std::vector<std::string>() : open_->warnings();
}

}  // namespace weft
