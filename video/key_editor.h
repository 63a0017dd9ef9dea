#pragma once

#include <memory>
#include <optional>

#include "diffusion/reference_bank.h"
#include "video/editor.h"

namespace weft {

/// Edits the key frames of one shot. Each sees the shot's anchor: what the network makes of the
/// anchor is remembered from key to key, where that takes no more than a GiB, else the anchor is
/// denoised beside each key. Which of the two depends on the job and the frame size alone, and so
/// does the result. Thread-safe: no.
class KeyEditor {
  public:
    /// @param editor must outlive this
    /// @param anchor the shot's first frame, of content size, n = 1
    KeyEditor(const Editor& editor, FrameBatch anchor);

    const FrameBatch& anchor() const { return anchor_; }

    /// @param key of content size, n = 1
    /// @return [1, 3, content]
    torch::Tensor operator()(const FrameBatch& key, const RenderWatch& watch);

  private:
    /// The anchor, edited as frames of a moment are.
    struct Edit {
        Moment moment;
        std::shared_ptr<ReferenceBank> bank;
        torch::Tensor picture;  // [1, 3, content]
    };

    const Edit& anchor_at(double time_s, const RenderWatch& watch);

    const Editor& editor_;
    FrameBatch anchor_;
    std::optional<Edit> edit_;
};

}  // namespace weft
