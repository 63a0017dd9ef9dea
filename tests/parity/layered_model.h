#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace weft {

/// A model folder put together from folders of tests/parity, later ones over earlier ones, in a
/// temporary folder that is removed at the end. Components that the last model_index.json leaves
/// out ([null, null]) are not there.
class LayeredModel {
  public:
    explicit LayeredModel(const std::vector<std::string>& layers);
    LayeredModel(const LayeredModel&) = delete;
    LayeredModel& operator=(const LayeredModel&) = delete;
    ~LayeredModel();

    const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

}  // namespace weft
