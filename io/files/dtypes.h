#pragma once

#include <torch/types.h>

#include <optional>
#include <string_view>

namespace weft {

/// The ScalarType of a safetensors dtype name ("F32", "BF16", "F8_E4M3", ...); nullopt for an
/// unknown one.
std::optional<torch::ScalarType> dtype_of(std::string_view name);

/// The safetensors name of `dtype`; empty where the format has none.
std::string_view dtype_name(torch::ScalarType dtype);

}  // namespace weft
