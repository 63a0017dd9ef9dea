#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace weft {

struct ConvertRequest {
    std::filesystem::path
        from;                  // a model folder, a single-file checkpoint or any .safetensors file
    std::filesystem::path to;  // NAME.safetensors: one file; else a folder, which must not exist
    /// Of floating tensors; not set: as they are.
    std::optional<torch::ScalarType> dtype = {};
};

struct ConvertReport {
    int64_t tensors = 0;
    int64_t bytes = 0;                       // of their data, as written
    std::vector<std::string> left_out = {};  // names that have no place in the target
};

/// Writes a model in the other layout or in another dtype, one tensor in memory at a time. From a
/// checkpoint to a folder: diffusers' layout with all configs. From a folder to a file: the layout
/// of CompVis, Stability or SGM, by the model's kind. A file that is no whole checkpoint (an
/// adapter, one component) keeps its names. Error where the model has no such layout, a number does
/// not fit the dtype, or the target cannot be written; nothing half-written stays.
ConvertReport convert_model(const ConvertRequest& request);

/// "f32", "f16", "bf16", "f8_e4m3", "f8_e5m2"; UsageError listing them otherwise.
torch::ScalarType stored_dtype_named(const std::string& name);

}  // namespace weft
