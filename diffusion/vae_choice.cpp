#include "diffusion/vae_choice.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "diffusion/checkpoint.h"
#include "diffusion/checkpoint_rules.h"
#include "io/files/error.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = "first_stage_model.";

fs::path weight_file(const fs::path& path) {
    std::error_code ignored;
    if (!fs::is_directory(path, ignored))
        return path;
    for (const char* name : {"diffusion_pytorch_model.safetensors",
                             "diffusion_pytorch_model.fp16.safetensors", "model.safetensors"})
        if (fs::is_regular_file(path / name, ignored))
            return path / name;
    throw Error(path.string(), "holds no .safetensors file of an autoencoder",
                "give the file itself, or the vae folder of a model");
}

// Levels that names of the original layout count; 0 for diffusers' names.
int64_t original_levels(const LazyTensors& tensors, std::string_view before) {
    int64_t levels = 0;
    for (const auto& [name, tensor] : tensors)
        if (const auto level = number_after(name, c10::str(before, "encoder.down.")))
            levels = std::max(levels, *level + 1);
    return levels;
}

// Original names become diffusers'.
LazyTensors renamed(LazyTensors tensors) {
    const bool whole = std::any_of(tensors.begin(), tensors.end(), [](const auto& entry) {
        return entry.first.starts_with(prefix);
    });
    const std::string_view before = whole ? prefix : "";
    const int64_t levels = original_levels(tensors, before);
    if (levels == 0)
        return tensors;
    LazyTensors out;
    for (auto& [name, tensor] : tensors) {
        const auto own = name.starts_with(before)
                             ? vae_name(std::string_view(name).substr(before.size()), levels)
                             : std::nullopt;
        const auto shape = own ? reshaped_shape(tensor.shape, own->reshaping) : std::nullopt;
        if (!shape)
            continue;  // training leftovers
        out[own->name] = {
            .dtype = tensor.dtype,
            .shape = *shape,
            .read = [read = tensor.read, how = own->reshaping] { return reshaped(read(), how); },
            .drop = tensor.drop};
    }
    return out;
}

class WithVae : public ModelSource {
  public:
    WithVae(std::shared_ptr<const ModelSource> model, const fs::path& vae)
        : ModelSource(model->path()),
          model_(std::move(model)),
          vae_(renamed(lazy_tensors({weight_file(vae)}))) {
        if (fs::is_regular_file(vae / "config.json"))
            config_ = Config::read(vae / "config.json");
        else if (vae_.contains("decoder.layers.0.weight"))
            config_ = Config::parse(R"({"_class_name": "AutoencoderTiny"})", vae.string());
        else if (vae_.contains("decoder.conv_in.weight"))
            config_ = model_->config("vae");
        else
            throw Error(vae.string(), "is no autoencoder that weft knows",
                        "give one of AutoencoderKL or TAESD");
    }

    std::vector<std::string> components() const override { return model_->components(); }

    Config index() const override { return model_->index(); }

    Config config(const std::string& component) const override {
        return component == "vae" ? config_ : model_->config(component);
    }

    LazyTensors tensors(const std::string& component) const override {
        return component == "vae" ? vae_ : model_->tensors(component);
    }

    Tokenizer tokenizer(const std::string& component) const override {
        return model_->tokenizer(component);
    }

    Config own_defaults() const override { return model_->own_defaults(); }

    std::vector<std::string> strangers() const override { return model_->strangers(); }

  private:
    std::shared_ptr<const ModelSource> model_;
    LazyTensors vae_;
    Config config_;
};

}  // namespace

std::shared_ptr<const ModelSource> with_vae(std::shared_ptr<const ModelSource> model,
                                            const fs::path& path) {
    return std::make_shared<const WithVae>(std::move(model), path);
}

}  // namespace weft
