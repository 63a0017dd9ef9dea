#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "diffusion/clip.h"
#include "diffusion/model_source.h"
#include "diffusion/model_weights.h"
#include "diffusion/prompt_encoding.h"
#include "diffusion/text_condition.h"
#include "diffusion/textual_inversion.h"
#include "diffusion/tokenizer.h"
#include "diffusion/unet_config.h"

namespace weft {

/// What a user adds to the text side of a model.
struct TextOptions {
    std::vector<LearnedWord> words = {};
    /// States are taken this many layers from the end, counted as the web UI does: 1 is the layer
    /// the model was trained with. Stable Diffusion's final layer norm is applied to skipped layers
    /// too, SDXL's states (penultimate at 1) stay bare; diffusers' clip_skip is this less 1.
    int64_t clip_skip = 1;
};

/// The text side of a model: one tokenizer and CLIP tower (Stable Diffusion), or two (SDXL base),
/// in f32: it runs once a prompt. Thread-safe: yes (immutable).
class TextEncoders {
  public:
    struct Tower {
        Tokenizer tokenizer;
        ClipTextModel model;
        WordTable words = {};
    };

    /// Loads "text_encoder" and "text_encoder_2" as far as the model has them; `weights` are the
    /// source's. Error where the ids
    /// of a tokenizer exceed its tower, the states do not have the width `unet` attends to, or the
    /// options do not fit the towers.
    TextEncoders(const ModelSource& source, ModelWeights& weights, const UnetConfig& unet,
                 torch::Device device, const TextOptions& options = {});

    /// What the UNet is told of n texts. Stable Diffusion: the last states. SDXL: the penultimate
    /// states of all towers side by side and the pooled vector of the last one (Podell et al.,
    /// arXiv 2307.01952, section 2.1). Texts are prompts with weights, of any length (prompt.h); a
    /// text of more chunks than one gives as many times the tokens, to all n texts. `loras` [1 or
    /// n, k] are the strengths of unmerged LoRAs, which the condition then holds.
    TextCondition encode(const std::vector<std::string>& texts,
                         const torch::Tensor& loras = {}) const;
    /// The same for negative prompts: SDXL base is told zeros where one is empty.
    TextCondition encode_negative(const std::vector<std::string>& texts,
                                  const torch::Tensor& loras = {}) const;

    /// Lengthens the shorter of two conditions to the tokens of the other by empty chunks, or by
    /// zeros where it is zero. Undefined conditions stay so.
    void match_lengths(TextCondition& a, TextCondition& b) const;

    const std::vector<Tower>& towers() const { return towers_; }

  private:
    void check(const std::string& where, const UnetConfig& unet) const;
    void check_clip_skip() const;
    void lengthen(TextCondition& condition, int64_t tokens) const;

    std::vector<Tower> towers_;
    bool pooled_;           // SDXL
    bool zeros_for_empty_;  // SDXL base
    int64_t clip_skip_;
    torch::Device device_;
};

}  // namespace weft
