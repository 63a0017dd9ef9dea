#include "tests/parity/reference.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string_view>

#include "diffusion/packed.h"

namespace weft {
namespace {

std::filesystem::path path_of(const std::string& name) {
    return std::filesystem::path(WEFT_SOURCE_DIR) / "tests/parity/references" /
           (name + ".safetensors");
}

// Note [bf16 alone]
// Runs that rounding takes further than 2e-2 in any implementation: that of weights and inputs
// alone costs 1 to 2.2e-2 before anything is computed, and a nearest token may become another.
// `library` is what diffusers 0.37 and PEFT 0.21 lose themselves on the same run in bf16, by
// relative_error. The bound is 1.5 times that, for another draw of rounding; over 32 rows of each
// of 19 such random networks weft's mean error was 0.93 of diffusers'.
// On processors that oneDNN has no bf16 kernels for, a layer's product, bias and residual are
// rounded one after another, so that errors may be twice as large; weft does not run in bf16 there
// unless told to.
struct RoundedRun {
    std::string_view reference;
    int run;
    double library;
};

constexpr std::array<RoundedRun, 8> rounded_runs{{{"unet_sd1", 0, 0.0299},
                                                  {"unet_sd1", 1, 0.0209},
                                                  {"unet_odd", 2, 0.0237},
                                                  {"unet_coupled", 1, 0.0496},
                                                  {"unet_coupled", 3, 0.0439},
                                                  {"loras", 12, 0.0334},
                                                  {"loras", 13, 0.0334},
                                                  {"loras", 15, 0.0258}}};

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

double Precision::tolerance(const std::string& reference, int run) const {
    if (dtype == torch::kFloat32) {
        return 1e-4;
    }
    for (const RoundedRun& rounded : rounded_runs) {
        if (rounded.reference == reference && rounded.run == run) {
            return 1.5 * rounded.library * bf16_slack();
        }
    }
    return 2e-2 * bf16_slack();
}

double bf16_slack() {
    return can_pack(torch::ones({1, 1}, torch::kBFloat16)) ? 1 : 2;
}

}  // namespace weft
