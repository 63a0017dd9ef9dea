#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/files/safetensors.h"

namespace weft {

/// How a parameter made in create mode starts.
struct Init {
    enum class Kind { kaiming_normal, normal, zeros, ones };
    Kind kind = Kind::kaiming_normal;
    /// Standard deviation for `normal`; gain on top of 1/sqrt(fan_in) for `kaiming_normal`.
    double scale = 1.0;
};

/// Where and as what tensors are delivered.
struct WeightOptions {
    torch::Device device = torch::kCPU;
    torch::ScalarType dtype = torch::kFloat32;  // of floating tensors; integers stay as they are
};

/// Changes tensors on their way out of a file (adapters merged at load): given the full name and
/// the tensor as it is stored, the tensor to deliver instead, of the same shape and any floating
/// dtype, or an undefined one to leave it alone.
using WeightPatch =
    std::function<torch::Tensor(const std::string& name, const torch::Tensor& stored)>;

/// A tensor of a file, read when it is asked for.
struct LazyTensor {
    torch::ScalarType dtype;
    std::vector<int64_t> shape;
    /// A view of the file where it can be one; of the shape above.
    std::function<torch::Tensor()> read;
    /// Called when a copy was made of what `read` gave; may be empty.
    std::function<void()> drop = {};
};

using LazyTensors = std::map<std::string, LazyTensor>;

/// The tensors of files that lie together (shards). A name in two files is an Error.
LazyTensors lazy_tensors(const std::vector<std::filesystem::path>& files);

/// Names -> tensors for building layers. In load mode a tensor comes out of a memory-mapped file;
/// in create mode it is made, initialised (reproducibly from the seed and its full name), marked as
/// requiring gradients and registered, so that the same layer code trains from scratch. Copies and
/// scopes share one store. Thread-safe: no (build models on one thread; layers made from it are
/// immutable).
class Weights {
  public:
    /// Load mode over one or more files (shards). A name in two files is an Error. Tensors are
    /// cast and moved one by one and the file's pages dropped, so that memory peaks at the
    /// delivered weights and one tensor.
    static Weights load(const std::vector<std::filesystem::path>& files,
                        WeightOptions options = {});
    /// Load mode over tensors in memory; `where` names them in errors.
    static Weights of(const NamedTensors& tensors, const std::string& where,
                      WeightOptions options = {});
    static Weights of(LazyTensors tensors, const std::string& where, WeightOptions options = {});
    /// Create mode.
    static Weights create(uint64_t seed, WeightOptions options = {});

    /// The same store under "name."; scope("down_blocks", 0) is "down_blocks.0.".
    Weights scope(const std::string& name) const;
    Weights scope(const std::string& name, int64_t index) const;

    /// The tensor `name` in this scope. Load mode: throws Error where it is missing or its shape
    /// differs (both shapes printed) or it holds NaN or infinity, and marks it used. Create mode:
    /// makes it, or returns the one already made.
    torch::Tensor at(const std::string& name, torch::IntArrayRef shape, Init init = {}) const;
    /// True where the name exists; in create mode always false unless made already.
    bool has(const std::string& name) const;
    /// Shape of a tensor that exists.
    std::vector<int64_t> shape(const std::string& name) const;
    bool creating() const;

    /// Load mode: every tensor that this store delivers from now on, in any scope, passes through
    /// `patch` before it is cast and moved. An empty one ends that.
    void patch_with(WeightPatch patch);

    /// Load mode: puts a tensor beside those of the files, under a name that is new here (full
    /// name: this scope's), for a layer that looks for one.
    void add(const std::string& name, const torch::Tensor& tensor);

    /// All names of this scope (full names), sorted.
    std::vector<std::string> names() const;
    /// Names in the store that no layer has asked for, sorted (load mode).
    std::vector<std::string> unused() const;
    /// Tensors made (create mode), or delivered and still held (load mode), sorted by full name.
    NamedTensors tensors() const;
    /// Full name of `name` here, for messages.
    std::string full(const std::string& name) const;
    const WeightOptions& options() const;

  private:
    struct Store;
    Weights(std::shared_ptr<Store> store, std::string prefix);
    std::shared_ptr<Store> store_;
    std::string prefix_;
};

}  // namespace weft
