#include "tests/parity/layered_model.h"

#include <cstdlib>
#include <stdexcept>

#include "io/files/model_folder.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

}  // namespace

LayeredModel::LayeredModel(const std::vector<std::string>& layers) {
    std::string name = (fs::temp_directory_path() / "weft-model-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr)
        throw std::runtime_error("no temporary folder");
    path_ = name;
    for (const std::string& layer : layers)
        fs::copy(fs::path(WEFT_SOURCE_DIR) / "tests/parity" / layer, path_,
                 fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    // Whole components only: what the index does not name is a rest of a lower layer.
    const ModelFolder model(path_);
    for (const auto& entry : fs::directory_iterator(path_))
        if (entry.is_directory() && !model.has(entry.path().filename().string()))
            fs::remove_all(entry.path());
}

LayeredModel::~LayeredModel() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

}  // namespace weft
