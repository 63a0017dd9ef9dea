#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace weft {

/// How a LoRA gets into a model.
enum class LoraMode {
    merged,    // added to the weights while they are loaded: costs nothing when the model runs
    unmerged,  // run beside its layers (Note [LoRAs beside the layers]): the weights stay as they
               // are. What has no two factors (LoHa, LoKr, DoRA, differences) is merged all the
               // same
    varying,   // unmerged, and its strength may change from call to call and row to row: an Error
               // where something of it cannot run beside its layer
};

/// One `--lora`: FILE[:WEIGHT[:PART=W,PART=W]].
struct LoraChoice {
    std::filesystem::path file;
    double weight = 1;  // in [-10, 10]; 0 is the model as it was
    /// Weights of parts of the model, which replace `weight` there; of several that hold a layer
    /// the longest counts. A part is "unet", "down", "mid", "up" or "text", and what follows
    /// narrows it as in the layers' names: "down.1", "up.2.attentions.0"; "text.1" and "text.2" are
    /// SDXL's two text encoders.
    std::map<std::string, double> parts = {};
    LoraMode mode = LoraMode::merged;

    /// The longest of `parts` that holds a layer; empty where none does.
    std::string part_of(const std::string& component, const std::string& layer) const;
    /// The weight of a layer of "unet", "text_encoder" or "text_encoder_2".
    double weight_of(const std::string& component, const std::string& layer) const;

    friend bool operator==(const LoraChoice&, const LoraChoice&) = default;
};

/// "FILE[:REST]" cut after the longest front part that exists. Error, quoting `form`, where none
/// does.
struct FileAndRest {
    std::filesystem::path file;
    std::string rest;
};

FileAndRest split_file(const std::string& text, const std::string& what, const std::string& form);

/// Reads "FILE[:WEIGHT[:PART=W,...]]"; the longest front part that exists is the file. Error where
/// none does, UsageError for weights and parts that are none.
LoraChoice parse_lora(const std::string& text);

/// One `--embedding`: FILE[:TOKEN], or a folder of such files.
struct EmbeddingChoice {
    std::filesystem::path path;
    std::string token;  // what stands for it in prompts; empty: the name in the file, or its own

    friend bool operator==(const EmbeddingChoice&, const EmbeddingChoice&) = default;
};

/// Reads "FILE[:TOKEN]"; the longest front part that exists is the file. Error where none does.
EmbeddingChoice parse_embedding(const std::string& text);

}  // namespace weft
