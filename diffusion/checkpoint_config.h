#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/checkpoint_names.h"

namespace weft {

/// What configs are derived from: shapes under diffusers' names, and what else a checkpoint says.
struct CheckpointFacts {
    CheckpointLayout layout;
    /// component -> name -> shape
    std::map<std::string, std::map<std::string, std::vector<int64_t>>> shapes = {};
    std::string where = {};                   // the checkpoint, for errors
    std::optional<int64_t> global_step = {};  // of its training
    std::string prediction_type = {};         // modelspec.prediction_type of its metadata
    bool v_key = false;                       // holds a tensor named v_pred
    bool zero_terminal_snr = false;           // holds a tensor named ztsnr
};

/// The text of `component`'s config.json, as diffusers or transformers would have it: widths and
/// depths are counted in the shapes; what no shape tells (heads, norm groups, activations, the
/// latents' scale, the schedule) is what that kind of model was released with. Error where tensors
/// are missing or of no shape that kind has.
std::string checkpoint_config_json(const CheckpointFacts& facts, const std::string& component);

/// "model_index.json", "unet", "vae", "text_encoder", ... that a checkpoint of this kind has.
std::vector<std::string> checkpoint_components(const CheckpointFacts& facts);
std::string checkpoint_index_json(const CheckpointFacts& facts);

}  // namespace weft
