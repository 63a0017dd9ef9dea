#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "diffusion/clip.h"
#include "diffusion/model_source.h"
#include "diffusion/text_condition.h"
#include "diffusion/tokenizer.h"
#include "diffusion/unet_config.h"

namespace weft {

/// The text side of a model: one tokenizer and CLIP tower (Stable Diffusion), or two (SDXL base),
/// in f32: it runs once a prompt. Thread-safe: yes (immutable).
class TextEncoders {
  public:
    struct Tower {
        Tokenizer tokenizer;
        ClipTextModel model;
    };

    /// Loads "text_encoder" and "text_encoder_2" as far as the model has them. Error where the ids
    /// of a tokenizer exceed its tower or the states do not have the width `unet` attends to.
    TextEncoders(const ModelSource& source, const UnetConfig& unet, torch::Device device);

    /// What the UNet is told of n texts. Stable Diffusion: the last states. SDXL: the penultimate
    /// states of all towers side by side and the pooled vector of the last one (Podell et al.,
    /// arXiv 2307.01952, section 2.1).
    TextCondition encode(const std::vector<std::string>& texts) const;
    /// The same for negative prompts: SDXL base is told zeros where one is empty.
    TextCondition encode_negative(const std::vector<std::string>& texts) const;

    const std::vector<Tower>& towers() const { return towers_; }

  private:
    void check(const std::string& where, const UnetConfig& unet) const;

    std::vector<Tower> towers_;
    bool pooled_;           // SDXL
    bool zeros_for_empty_;  // SDXL base
    torch::Device device_;
};

}  // namespace weft
