#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/tokenizer.h"
#include "io/files/config.h"
#include "io/files/weights.h"

namespace weft {

/// Where a model's components come from, whatever the layout: names, configs and tensor names are
/// diffusers'. Thread-safe: yes (immutable).
class ModelSource {
  public:
    /// A folder in the diffusers layout or a single-file checkpoint (checkpoint.h). Error, with the
    /// way out, for what is neither.
    static std::shared_ptr<const ModelSource> open(const std::filesystem::path& path);

    ModelSource(const ModelSource&) = delete;
    ModelSource& operator=(const ModelSource&) = delete;
    virtual ~ModelSource() = default;

    const std::filesystem::path& path() const { return path_; }

    /// The folder's name, or the file's without its extension.
    std::string name() const;
    /// "unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "scheduler", ...
    virtual std::vector<std::string> components() const = 0;
    bool has(const std::string& component) const;
    /// model_index.json, or what a folder of this model would have there.
    virtual Config index() const = 0;
    /// `component`/config.json, or scheduler_config.json.
    virtual Config config(const std::string& component) const = 0;
    /// The component's tensors under diffusers' names, none of them read yet.
    virtual LazyTensors tensors(const std::string& component) const = 0;
    Weights weights(const std::string& component, WeightOptions options = {}) const;

    /// Stored names that belong to no component and are no known leftovers of training.
    virtual std::vector<std::string> strangers() const { return {}; }

    /// "tokenizer" or "tokenizer_2".
    virtual Tokenizer tokenizer(const std::string& component) const = 0;
    /// weft.json; empty where there is none.
    virtual Config own_defaults() const = 0;

  protected:
    explicit ModelSource(std::filesystem::path path) : path_(std::move(path)) {}

  private:
    std::filesystem::path path_;
};

}  // namespace weft
