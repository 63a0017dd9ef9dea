#pragma once

#include <string>
#include <vector>

#include "diffusion/schedule_config.h"

namespace weft {

/// "epsilon", "v", "sample", "flow": as on the command line.
std::vector<std::string> prediction_names();
const char* name_of(Prediction prediction);
/// UsageError listing the known ones otherwise.
Prediction prediction_named(const std::string& name);

}  // namespace weft
