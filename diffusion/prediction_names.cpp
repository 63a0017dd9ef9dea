#include "diffusion/prediction_names.h"

#include <c10/util/StringUtil.h>

#include <array>

#include "io/files/error.h"

namespace weft {
namespace {

struct Row {
    const char* name;
    Prediction prediction;
};

constexpr std::array<Row, 4> rows{{
    {"epsilon", Prediction::epsilon},
    {"v", Prediction::v},
    {"sample", Prediction::sample},
    {"flow", Prediction::flow},
}};

}  // namespace

std::vector<std::string> prediction_names() {
    std::vector<std::string> names;
    names.reserve(rows.size());
    for (const Row& row : rows) names.emplace_back(row.name);
    return names;
}

const char* name_of(Prediction prediction) {
    for (const Row& row : rows)
        if (row.prediction == prediction)
            return row.name;
    return "unknown";
}

Prediction prediction_named(const std::string& name) {
    for (const Row& row : rows)
        if (name == row.name)
            return row.prediction;
    throw UsageError(name, "is nothing that models predict",
                     "take one of " + c10::Join(", ", prediction_names()));
}

}  // namespace weft
