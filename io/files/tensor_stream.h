#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace weft {

/// A tensor to be written whose data is made when its turn comes, of the dtype and shape told.
struct StreamedTensor {
    std::string name;
    torch::ScalarType dtype;
    std::vector<int64_t> shape;
    std::function<torch::Tensor()> make;
};

/// Writes one file as save_safetensors does, with one tensor in memory at a time.
void save_safetensors(const std::filesystem::path& path, std::vector<StreamedTensor> tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace weft
