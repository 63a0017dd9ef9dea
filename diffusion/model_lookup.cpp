#include <algorithm>
#include <cstdlib>
#include <system_error>

#include "diffusion/model.h"
#include "io/files/error.h"

namespace weft {

namespace {

namespace fs = std::filesystem;

bool is_folder_model(const fs::path& folder) {
    std::error_code ignored;
    return fs::is_regular_file(folder / "model_index.json", ignored);
}

// A shelf's folder of that name, else its single file; empty where there is neither.
fs::path on_shelf(const fs::path& shelf, const std::string& name) {
    if (is_folder_model(shelf / name))
        return shelf / name;
    std::error_code ignored;
    const fs::path file = shelf / (name.ends_with(".safetensors") ? name : name + ".safetensors");
    return fs::is_regular_file(file, ignored) ? file : fs::path();
}

std::vector<std::string> models_on(const std::vector<fs::path>& shelves) {
    std::vector<std::string> names;
    for (const fs::path& shelf : shelves) {
        std::error_code ignored;
        for (const auto& entry : fs::directory_iterator(shelf, ignored))
            if (is_folder_model(entry.path()))
                names.push_back(entry.path().filename().string());
            else if (entry.path().extension() == ".safetensors")
                names.push_back(entry.path().stem().string());
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

}  // namespace

std::vector<fs::path> model_shelves(const fs::path& program, const fs::path& built_in) {
    std::vector<fs::path> shelves;
    auto add = [&](const fs::path& folder) {
        std::error_code ignored;
        const bool known = std::find(shelves.begin(), shelves.end(), folder) != shelves.end();
        if (!folder.empty() && fs::is_directory(folder, ignored) && !known)
            shelves.push_back(folder);
    };
    if (const char* given = std::getenv("WEFT_MODELS")) {  // NOLINT(concurrency-mt-unsafe)
        const std::string list = given;
        for (size_t begin = 0; begin <= list.size();) {
            const size_t end = std::min(list.find(':', begin), list.size());
            add(list.substr(begin, end - begin));
            begin = end + 1;
        }
    }
    add(program.parent_path().parent_path() / "share" / "weft" / "models");
    add(built_in);
    return shelves;
}

fs::path find_model(const std::string& name, const std::vector<fs::path>& shelves) {
    std::error_code ignored;
    if (fs::exists(name, ignored))
        return name;
    const bool plain =
        !name.empty() && name.find('/') == std::string::npos && name != "." && name != "..";
    for (const fs::path& shelf : shelves)
        if (fs::path found = plain ? on_shelf(shelf, name) : fs::path(); !found.empty())
            return found;
    std::string found;
    for (const std::string& model : models_on(shelves))
        found += (found.empty() ? "" : ", ") + model;
    throw Error(name, "no such model",
                "give a model folder or a single file" +
                    (found.empty() ? ", or set WEFT_MODELS to a folder of models; none was found"
                                   : " or one of: " + found));
}

}  // namespace weft
