#include "diffusion/probe_inputs.h"

#include <algorithm>

#include "io/files/error.h"

namespace weft {

namespace {

const torch::Tensor* find(const NamedTensors& tensors, const std::string& name) {
    const auto found = std::find_if(tensors.begin(), tensors.end(),
                                    [&](const auto& entry) { return entry.first == name; });
    return found != tensors.end() ? &found->second : nullptr;
}

bool matches(torch::IntArrayRef shape, torch::IntArrayRef pattern) {
    return shape.size() == pattern.size() &&
           std::equal(shape.begin(), shape.end(), pattern.begin(),
                      [](int64_t size, int64_t wanted) { return wanted < 0 || size == wanted; });
}

// "[n, 77, any]" with "any" for -1.
std::string printed(torch::IntArrayRef pattern) {
    std::string text;
    for (const int64_t size : pattern)
        text += (text.empty() ? "[" : ", ") + (size < 0 ? "any" : std::to_string(size));
    return text + "]";
}

}  // namespace

ProbeInputs::ProbeInputs(const NamedTensors& tensors, const Placement& placement)
    : tensors_(&tensors), placement_(placement) {}

bool ProbeInputs::has(const std::string& name) const {
    return find(*tensors_, name) != nullptr;
}

torch::Tensor ProbeInputs::need(const std::string& name, torch::IntArrayRef shape) const {
    const torch::Tensor* found = find(*tensors_, name);
    if (found == nullptr)
        throw Error(name, "the input file has no such tensor",
                    c10::str("add it with shape ", printed(shape)));
    if (!matches(found->sizes(), shape) || found->numel() == 0)
        throw Error(
            name, c10::str("the tensor has shape ", found->sizes(), ", expected ", printed(shape)));
    return *found;
}

torch::Tensor ProbeInputs::floats(const std::string& name, torch::IntArrayRef shape) const {
    return exact_floats(name, shape).to(placement_.dtype);
}

torch::Tensor ProbeInputs::exact_floats(const std::string& name, torch::IntArrayRef shape) const {
    const torch::Tensor found = need(name, shape);
    if (!found.is_floating_point())
        throw Error(name, c10::str("the tensor holds ", found.scalar_type(), ", expected floats"));
    if (!found.isfinite().all().item<bool>())
        throw Error(name, "the tensor holds numbers that are not finite");
    return found.to(placement_.device, torch::kFloat32);
}

torch::Tensor ProbeInputs::integers(const std::string& name, torch::IntArrayRef shape) const {
    const torch::Tensor found = need(name, shape);
    if (found.scalar_type() != torch::kInt64)
        throw Error(name, c10::str("the tensor holds ", found.scalar_type(), ", expected i64"));
    return found.to(placement_.device);
}

torch::Tensor ProbeInputs::numbers(const std::string& name, int64_t rows) const {
    const torch::Tensor* found = find(*tensors_, name);
    const bool single = found != nullptr && found->dim() == 0;
    const torch::Tensor values = single ? found->reshape({1}) : need(name, {-1});
    if (values.size(0) != 1 && values.size(0) != rows)
        throw Error(name,
                    c10::str("the tensor has ", values.size(0), " numbers, expected 1 or ", rows));
    return values.to(placement_.device, torch::kFloat32).expand({rows}).contiguous();
}

std::vector<torch::Tensor> ProbeInputs::list(const std::string& name,
                                             torch::IntArrayRef shape) const {
    std::vector<torch::Tensor> out;
    while (has(c10::str(name, ".", out.size())))
        out.push_back(floats(c10::str(name, ".", out.size()), shape));
    const auto named = std::count_if(tensors_->begin(), tensors_->end(), [&](const auto& entry) {
        return entry.first.starts_with(name + ".");
    });
    if (named != static_cast<int64_t>(out.size()))
        throw Error(name, c10::str("the input file has ", named, " tensors of that name, but not ",
                                   name, ".0 to ", name, ".", named - 1));
    return out;
}

}  // namespace weft
