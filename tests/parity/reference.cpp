#include "tests/parity/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace weft {
namespace {

std::filesystem::path path_of(const std::string& name) {
    return std::filesystem::path(WEFT_SOURCE_DIR) / "tests/parity/references" /
           (name + ".safetensors");
}

}  // namespace

Reference::Reference(const std::string& name) : file_(path_of(name)) {}

Config Reference::config() const {
    return Config::parse(file_.metadata().at("config"), file_.path().filename().string());
}

NamedTensors Reference::under(const std::string& prefix) const {
    NamedTensors tensors;
    for (const auto& [name, entry] : file_.entries()) {
        if (name.starts_with(prefix)) {
            tensors.emplace_back(name.substr(prefix.size()), file_.tensor(name));
        }
    }
    return tensors;
}

Weights Reference::weights(WeightOptions options) const {
    return Weights::of(under("model."), file_.path().filename().string(), options);
}

Reference::Run Reference::run(int index, torch::ScalarType dtype) const {
    NamedTensors in = under(c10::str("run.", index, ".in."));
    for (auto& [name, tensor] : in) {
        if (tensor.is_floating_point() && name != "timestep" && name != "time_ids") {
            tensor = tensor.to(dtype);
        }
    }
    const NamedTensors out = under(c10::str("run.", index, ".out."));
    if (out.empty()) {
        throw std::out_of_range(c10::str("no run ", index));
    }
    return {{in.begin(), in.end()}, {out.begin(), out.end()}};
}

int Reference::runs() const {
    int count = 0;
    while (!under(c10::str("run.", count, ".out.")).empty()) {
        ++count;
    }
    return count;
}

double max_error(const torch::Tensor& ours, const torch::Tensor& theirs) {
    if (ours.sizes() != theirs.sizes()) {
        return std::numeric_limits<double>::infinity();
    }
    const auto error =
        (ours.to(torch::kFloat64) - theirs.to(torch::kFloat64)).abs().max().item<double>();
    return std::isfinite(error) ? error : std::numeric_limits<double>::infinity();
}

double relative_distance(const torch::Tensor& ours, const torch::Tensor& theirs) {
    if (!std::isfinite(max_error(ours, theirs))) {
        return std::numeric_limits<double>::infinity();
    }
    const torch::Tensor wide = theirs.to(torch::kFloat64);
    return ((ours.to(torch::kFloat64) - wide).norm() / wide.norm()).item<double>();
}

double relative_error(const torch::Tensor& ours, const torch::Tensor& theirs) {
    return std::max(relative_distance(ours, theirs),
                    0.5 * max_error(ours, theirs) / theirs.abs().max().item<double>());
}

double Precision::error(const torch::Tensor& ours, const torch::Tensor& theirs) const {
    return dtype == torch::kFloat32 ? max_error(ours, theirs) : relative_error(ours, theirs);
}

double Precision::tolerance() const {
    return dtype == torch::kFloat32 ? 1e-4 : 2e-2;
}

}  // namespace weft
