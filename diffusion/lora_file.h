#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "diffusion/lora.h"

namespace weft {

/// A LoRA file, or one of its relatives, read into layers. The layouts, told key by key:
///   kohya      "lora_unet_down_blocks_0_..._to_q.lora_down.weight" (.lora_up, .lora_mid, .alpha,
///              .dora_scale; LyCORIS' .hada_*, .lokr_*, .diff, .diff_b); lora_te_, lora_te1_,
///              lora_te2_
///   diffusers  "unet....attn1.processor.to_q_lora.down.weight", "....to_q.lora.down.weight",
///              "text_encoder....lora_linear_layer.down.weight"; without "unet." as well
///   PEFT       "unet....to_q.lora_A.weight", "base_model.model....lora_A.default.weight",
///              lora_magnitude_vector
/// alpha stands beside the layer, in the file's metadata ("lora_adapter_metadata"), or in PEFT's
/// adapter_config.json beside the file; where it stands nowhere it is the rank. Tensors are views
/// of the mapped file.
struct AdapterFile {
    std::filesystem::path path;
    std::map<std::string, std::string> metadata;
    /// Component ("unet", "text_encoder", "text_encoder_2"), then layer as the file names it,
    /// without prefixes, in diffusers' words.
    std::map<std::string, std::map<std::string, AdapterLayer>> layers;
    std::vector<std::string> layouts;       // of "kohya", "diffusers", "PEFT": those found
    std::vector<std::string> unknown_keys;  // tensors that no layout knows

    /// Error where the file does not open, is a pickle, or holds no adapter at all.
    static AdapterFile read(const std::filesystem::path& path);
};

/// What an adapter file is, for a person.
struct AdapterInfo {
    std::vector<std::string> kinds;    // "LoRA", "LoHa", "LoKr", "full difference", "DoRA"
    std::vector<std::string> layouts;  // as in AdapterFile
    int64_t smallest_rank = 0;         // 0: nothing is factored
    int64_t largest_rank = 0;
    double smallest_scale = 1;  // alpha / rank
    double largest_scale = 1;
    std::map<std::string, int64_t> layers;  // by component
    std::map<std::string, int64_t>
        targets;  // by the layers' last words: "attn1.to_q", "conv1", ...
    std::vector<std::string> unknown_keys;
    std::string base_model;  // what its metadata says it was trained on; may be empty
};

/// Reads a file and describes it.
AdapterInfo describe_adapter(const std::filesystem::path& path);

}  // namespace weft
