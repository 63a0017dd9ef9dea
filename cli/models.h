#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/command.h"

namespace weft {

/// Folders in which model names are looked up; see model_shelves().
std::vector<std::filesystem::path> model_shelves(const Context& context);

/// The folder of a model given as on the command line; empty means the starter.
std::filesystem::path locate_model(const std::string& name, const Context& context);

/// Help text: which words the starter knows and how to use other models.
std::string model_help(const Context& context);

}  // namespace weft
