#pragma once

#include <map>
#include <string>
#include <vector>

namespace weft {

/// Finds a model's layers by the names that adapter files give them. Files write names with dots or
/// with underscores for them ("flat"), in diffusers' layout or CompVis' ("input_blocks_1_1_...");
/// the text encoder's with or without "text_model". Names are compared flat.
class LayerNames {
  public:
    /// @param tensors full names of a component's tensors, as diffusers and transformers have them
    explicit LayerNames(const std::vector<std::string>& tensors);

    /// The layer, e.g. "down_blocks.0.resnets.0.conv1"; empty where the model has none such.
    std::string find(const std::string& name_in_file) const;

  private:
    std::map<std::string, std::string> by_flat_;
};

/// A UNet layer's name in CompVis' layout ("input_blocks.1.0.in_layers.2"); empty where it has
/// none.
/// @param layers_per_block residual blocks in a level on the way down
/// @param attends          the level on the way up, if it is one, has attention
std::string compvis_name(const std::string& layer, int64_t layers_per_block, bool attends);

}  // namespace weft
