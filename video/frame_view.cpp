#include "video/frame_view.h"

namespace weft {

FrameView::FrameView(const Job& job, const StreamInfo& info) : start_(info.start), map_(job.map) {}

StreamInfo FrameView::written(const StreamInfo& info) const {
    return map_ ? map_->written(info) : info;
}

torch::Tensor FrameView::shown(const Frame& frame) const {
    const auto colours = frame.pixels.slice(0, 0, 3);
    return map_ ? map_->shown(colours) : colours;
}

FrameBatch FrameView::batch(const std::vector<Frame>& frames) const {
    FrameBatch batch;
    std::vector<torch::Tensor> pictures;
    std::vector<torch::Tensor> masks;
    for (const Frame& frame : frames) {
        pictures.push_back(shown(frame));
        if (frame.mask.defined()) {
            masks.push_back(frame.mask);
        }
        batch.index.push_back(frame.index);
        batch.time_s.push_back((frame.time - start_).seconds());
    }
    batch.pictures = torch::stack(pictures);  // [n, 3, h, w]
    if (!masks.empty()) {
        batch.masks = torch::stack(masks);  // [n, 1, h, w]
    }
    return batch;
}

Frame FrameView::returned(const Frame& frame, const torch::Tensor& shown,
                          const torch::Tensor& edited) const {
    Frame result = frame;
    const auto colours = map_ ? map_->returned(frame.pixels.slice(0, 0, 3), shown, edited) : edited;
    result.pixels =
        frame.pixels.size(0) == 4 ? torch::cat({colours, frame.pixels.slice(0, 3)}) : colours;
    return result;
}

}  // namespace weft
