#include "video/key_editor.h"

#include <utility>

namespace weft {

KeyEditor::KeyEditor(const Editor& editor, FrameBatch anchor)
    : editor_(editor), anchor_(std::move(anchor)) {}

const KeyEditor::Edit& KeyEditor::anchor_at(double time_s, const RenderWatch& watch) {
    constexpr int64_t most_bytes = int64_t{1} << 30;
    Moment moment = editor_.moment(time_s);
    if (!edit_ || !(edit_->moment == moment)) {
        FrameBatch anchor = anchor_;
        anchor.time_s = {time_s};
        auto bank = std::make_shared<ReferenceBank>(most_bytes);
        auto picture = editor_.edit_linked(anchor, recording(bank, 1), 0, watch);
        edit_ = Edit{std::move(moment), std::move(bank), std::move(picture)};
    }
    return *edit_;
}

torch::Tensor KeyEditor::operator()(const FrameBatch& key, const RenderWatch& watch) {
    const Edit& anchor = anchor_at(key.time_s.front(), watch);
    if (anchor_.index == key.index) {
        return anchor.picture;
    }
    // The anchor's colours at every step are not in the bank.
    const bool styled = *editor_.job().plan.anchor_style > 0;
    if (anchor.bank->complete() && !styled) {
        return editor_.edit_linked(key, seeing(anchor.bank, 1, 1), 0, watch);
    }
    const auto rows = FrameBatch::joined({anchor_, key});
    return editor_.edit_linked(rows, shot_links(FrameLinks::Way::attention, rows.index, {}), 1,
                               watch);
}

}  // namespace weft
