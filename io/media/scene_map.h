#pragma once

#include <string>

#include "io/media/color_config.h"
#include "io/media/picture_map.h"

namespace weft {

/// Names of spaces of one configuration.
struct SceneSpaces {
    std::string in;     // of the clip
    std::string model;  // of what the model sees
    std::string out;    // of what is written
};

/// Shows pictures of any colour space of a configuration to a model. In the configuration's linear
/// space light above white is rolled off as HdrMap does (BT.2390, white is 1, the brightest light
/// expected is 1000/203 of it), unless the model's space maps it itself, as ACES' output transforms
/// do; the edit comes back as the same gain. Thread-safe: yes (immutable).
class SceneMap final : public PictureMap {
  public:
    /// Throws as ColorConfig::transform.
    SceneMap(const ColorConfig& config, const SceneSpaces& spaces);

    torch::Tensor shown(const torch::Tensor& source) const override;
    torch::Tensor returned(const torch::Tensor& source, const torch::Tensor& shown,
                           const torch::Tensor& edited) const override;

    /// Of its transforms, their tables' contents included.
    std::string key() const override { return key_; }

    /// The tags become those of the space that is written, unspecified where nobody knows them.
    StreamInfo written(StreamInfo source) const override;

  private:
    bool converts_;                // OUT is another space than IN
    std::optional<ColorTag> tag_;  // of OUT
    ColorTransform to_light_;      // IN -> linear
    ColorTransform to_model_;      // linear -> MODEL
    ColorTransform from_model_;
    ColorTransform to_out_;   // linear -> OUT
    ColorTransform through_;  // IN -> OUT
    bool model_maps_tones_ = false;
    std::string key_;
};

}  // namespace weft
