#pragma once

#include <torch/types.h>

#include <map>
#include <string>

#include "io/files/config.h"
#include "io/files/safetensors.h"
#include "io/files/weights.h"

namespace weft {

/// A committed reference of make_references.py: a small network and runs of it in another library.
class Reference {
  public:
    /// `name` without folder and extension.
    explicit Reference(const std::string& name);

    using Tensors = std::map<std::string, torch::Tensor>;

    struct Run {
        Tensors in;
        Tensors out;
    };

    Config config() const;
    /// The network's weights, in f32 unless asked otherwise.
    Weights weights(WeightOptions options = {}) const;
    /// run(0), run(1), ...; throws std::out_of_range past the last one. Real inputs are cast to
    /// `dtype`, but for times and sizes, which callers of a network keep in f32.
    Run run(int index, torch::ScalarType dtype = torch::kFloat32) const;
    int runs() const;

  private:
    NamedTensors under(const std::string& prefix) const;

    SafeTensors file_;
};

/// Largest absolute difference; infinity where shapes differ or a number is not finite.
double max_error(const torch::Tensor& ours, const torch::Tensor& theirs);

/// |ours - theirs| / |theirs|, Euclidean, of a whole answer. Infinity as for max_error.
double relative_distance(const torch::Tensor& ours, const torch::Tensor& theirs);

/// The larger of relative_distance and of half the largest difference over the largest value: the
/// worst of many numbers strays about twice as far as all of them together.
double relative_error(const torch::Tensor& ours, const torch::Tensor& theirs);

/// A precision that a network runs in, and how near it must come to its f32 reference there.
struct Precision {
    torch::ScalarType dtype = torch::kFloat32;

    /// max_error in f32; in bf16, where weights and inputs are rounded as well, relative_error.
    double error(const torch::Tensor& ours, const torch::Tensor& theirs) const;
    /// 1e-4 in f32, 2e-2 in bf16.
    double tolerance() const;
};

constexpr Precision f32{torch::kFloat32};
constexpr Precision bf16{torch::kBFloat16};

}  // namespace weft
