#include "diffusion/model_source.h"

#include <algorithm>
#include <utility>

#include "diffusion/checkpoint.h"
#include "io/files/model_folder.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

class FolderSource : public ModelSource {
  public:
    explicit FolderSource(const fs::path& path) : ModelSource(path), folder_(path) {}

    std::vector<std::string> components() const override { return folder_.components(); }

    Config index() const override { return folder_.index(); }

    Config config(const std::string& component) const override { return folder_.config(component); }

    LazyTensors tensors(const std::string& component) const override {
        return lazy_tensors(folder_.weight_files(component));
    }

    Tokenizer tokenizer(const std::string& component) const override {
        return Tokenizer::read(path() / component);
    }

    Config own_defaults() const override {
        const fs::path file = path() / "weft.json";
        return fs::exists(file) ? Config::read(file) : Config();
    }

  private:
    ModelFolder folder_;
};

}  // namespace

std::shared_ptr<const ModelSource> ModelSource::open(const fs::path& path) {
    std::error_code ignored;
    if (fs::is_regular_file(path, ignored) && path.filename() != "model_index.json")
        return std::make_shared<const Checkpoint>(path);
    return std::make_shared<const FolderSource>(path);
}

std::string ModelSource::name() const {
    const fs::path whole = fs::absolute(path_).lexically_normal();
    const fs::path last = (whole.has_filename() ? whole : whole.parent_path()).filename();
    return last.extension() == ".safetensors" ? last.stem().string() : last.string();
}

Weights ModelSource::weights(const std::string& component, WeightOptions options) const {
    return Weights::of(tensors(component), c10::str(path_.string(), ", ", component), options);
}

bool ModelSource::has(const std::string& component) const {
    const std::vector<std::string> all = components();
    return std::find(all.begin(), all.end(), component) != all.end();
}

}  // namespace weft
