#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/checkpoint_config.h"
#include "diffusion/model_source.h"
#include "io/files/safetensors.h"

namespace weft {

/// A single-file checkpoint (.safetensors) in the layouts of CompVis, Stability and SGM, as
/// AUTOMATIC1111's web UI and its kin use them, seen as a model in the diffusers layout: names are
/// changed, fused projections cut, configs derived from shapes. Its tokenizers come from CLIP's
/// vocabulary (clip_vocabulary.h). Tensors are views of the file. Thread-safe: yes (immutable).
class Checkpoint : public ModelSource {
  public:
    /// Error where the file is none, or holds no whole model of a known layout.
    explicit Checkpoint(const std::filesystem::path& path);

    std::vector<std::string> components() const override;
    Config index() const override;
    Config config(const std::string& component) const override;
    LazyTensors tensors(const std::string& component) const override;
    Tokenizer tokenizer(const std::string& component) const override;
    Config own_defaults() const override;

    std::vector<std::string> strangers() const override { return unmatched_; }

    const SafeTensors& file() const { return file_; }

    const CheckpointFacts& facts() const { return facts_; }

    /// The tensors of a component under diffusers' names, with where they come from.
    const std::vector<CheckpointName>& names(const std::string& component) const;

    /// The padding token of a tokenizer: "!" for those of OpenCLIP's towers.
    std::string pad_token(const std::string& component) const;

  private:
    LazyTensor lazy(const CheckpointName& name) const;

    SafeTensors file_;
    CheckpointFacts facts_;
    std::map<std::string, std::vector<CheckpointName>> names_;
    std::vector<std::string> unmatched_;  // stored names that become nothing
};

/// The tensor as the diffusers layout has it, a view where it can be.
torch::Tensor reshaped(const torch::Tensor& stored, Reshaping reshaping);
/// Its shape; nullopt where `stored` does not allow the reshaping.
std::optional<std::vector<int64_t>> reshaped_shape(const std::vector<int64_t>& stored,
                                                   Reshaping reshaping);

}  // namespace weft
