#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/files/config.h"
#include "io/files/weights.h"

namespace weft {

/// A model in the diffusers layout: model_index.json and one folder a component with config.json
/// and single or sharded *.safetensors. Only plain file names are followed out of an index.
/// Thread-safe: yes (immutable).
class ModelFolder {
  public:
    /// Throws Error where the folder has no model_index.json or names components that are missing.
    explicit ModelFolder(const std::filesystem::path& folder);

    const std::filesystem::path& path() const;
    /// model_index.json.
    const Config& index() const;
    /// Components whose folders exist: "unet", "vae", "text_encoder", "tokenizer", "scheduler", ...
    const std::vector<std::string>& components() const;
    bool has(const std::string& component) const;
    /// `component`/config.json, or scheduler/scheduler_config.json.
    Config config(const std::string& component) const;
    /// The component's tensor files (shards in order). Pickles are refused with the way out.
    std::vector<std::filesystem::path> weight_files(const std::string& component) const;
    Weights weights(const std::string& component, WeightOptions options = {}) const;
    /// A file of a component that must exist, e.g. file("tokenizer", "vocab.json").
    std::filesystem::path file(const std::string& component, const std::string& name) const;

  private:
    std::filesystem::path path_;
    Config index_;
    std::vector<std::string> components_;
};

}  // namespace weft
