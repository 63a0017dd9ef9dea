#include "io/files/weights.h"

#include <ATen/CPUGeneratorImpl.h>
#include <c10/util/StringUtil.h>

#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "io/files/error.h"
#include "io/files/finite.h"
#include "io/files/text.h"

namespace weft {
namespace {

// FNV-1a over the name, then the finaliser of SplitMix64: near seeds give unrelated streams.
uint64_t stream_of(uint64_t seed, const std::string& name) {
    uint64_t hash = 0xcbf29ce484222325U;
    for (const char c : name) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    }
    hash += 0x9e3779b97f4a7c15U * (seed + 1);
    hash = (hash ^ (hash >> 30U)) * 0xbf58476d1ce4e5b9U;
    hash = (hash ^ (hash >> 27U)) * 0x94d049bb133111ebU;
    return hash ^ (hash >> 31U);
}

double deviation(const Init& init, torch::IntArrayRef shape) {
    if (init.kind != Init::Kind::kaiming_normal) {
        return init.scale;
    }
    // He et al. 2015, eq. 14 without the gain, which is in `scale`.
    double fan_in = 1;
    for (size_t i = 1; i < shape.size(); ++i) {
        fan_in *= static_cast<double>(shape[i]);
    }
    return init.scale / std::sqrt(std::max(fan_in, 1.0));
}

// Drawn on the CPU in f32, so that every device starts from the same numbers.
torch::Tensor initialised(torch::IntArrayRef shape, const Init& init, uint64_t stream) {
    switch (init.kind) {
        case Init::Kind::zeros:
            return at::zeros(shape);
        case Init::Kind::ones:
            return at::ones(shape);
        case Init::Kind::normal:
        case Init::Kind::kaiming_normal:
            break;
    }
    auto generator = at::make_generator<at::CPUGeneratorImpl>(stream);
    return at::empty(shape).normal_(0, deviation(init, shape), generator);
}

std::string joined(const std::vector<std::filesystem::path>& files) {
    std::string text = files.empty() ? "" : files.front().string();
    if (files.size() > 1) {
        text += c10::str(" and ", files.size() - 1, " more");
    }
    return text;
}

void check_finite(const torch::Tensor& tensor, const std::string& name, const std::string& where) {
    if (!all_finite(tensor)) {
        throw Error(
            where, c10::str("tensor ", quoted_name(name), " holds NaN or infinity"),
            "the file is damaged, or its numbers do not fit the --dtype that was asked for");
    }
}

LazyTensor at_hand(const torch::Tensor& tensor) {
    return {tensor.scalar_type(), tensor.sizes().vec(), [tensor] { return tensor; }};
}

}  // namespace

LazyTensors lazy_tensors(const std::vector<std::filesystem::path>& files) {
    LazyTensors tensors;
    std::map<std::string, std::filesystem::path> places;
    for (const auto& path : files) {
        const SafeTensors file(path);
        for (const auto& [name, entry] : file.entries()) {
            if (const auto [other, added] = places.emplace(name, path); !added) {
                throw Error(path.string(),
                            c10::str("tensor ", quoted_name(name), " is in '",
                                     other->second.string(), "' too"),
                            "give the files of one model only");
            }
            const auto key = name;
            tensors[name] = {entry.dtype, entry.shape, [file, key] { return file.tensor(key); },
                             [file, key] { file.drop_pages(key); }};
        }
    }
    return tensors;
}

// A tensor that lives as long as somebody else holds it: a layer that makes something of its own
// out of a weight lets the weight go.
using WeakTensor = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;

struct Weights::Store {
    WeightOptions options;
    bool creating = false;
    uint64_t seed = 0;
    std::string where;
    LazyTensors stored;                            // load mode
    std::map<std::string, WeakTensor> lent;        // load mode: handed out, by full name
    std::map<std::string, torch::Tensor> created;  // create mode, by full name
    WeightPatch patch;

    bool has(const std::string& name) const {
        return creating ? created.contains(name) : stored.contains(name);
    }

    std::vector<int64_t> shape(const std::string& name) const {
        if (!has(name)) {
            throw Error(where, c10::str("has no tensor ", quoted_name(name)),
                        "the file is incomplete or of another kind of model");
        }
        return creating ? created.at(name).sizes().vec() : stored.at(name).shape;
    }

    torch::Tensor patched(const std::string& name, const torch::Tensor& read) const {
        const auto changed = patch ? patch(name, read) : torch::Tensor();
        TORCH_CHECK(!changed.defined() || changed.sizes() == read.sizes(), "patch of ", name,
                    " makes ", changed.sizes(), " of ", read.sizes());
        return changed.defined() ? changed : read;
    }

    torch::Tensor loaded(const std::string& name) const {
        const LazyTensor& lazy = stored.at(name);
        if (options.device.is_meta()) {
            return at::empty(lazy.shape, at::device(torch::kMeta).dtype(options.dtype));
        }
        const auto read = lazy.read();
        const auto tensor = patched(name, read);
        const bool real = at::isFloatingType(tensor.scalar_type());
        auto out = tensor.to(options.device, real ? options.dtype : tensor.scalar_type());
        out = out.is_contiguous() ? out : out.contiguous();
        check_finite(out, name, where);
        if (lazy.drop && !out.is_alias_of(read)) {
            lazy.drop();
        }
        return out;
    }

    // The tensor that was handed out before where somebody still holds it, else a new one.
    torch::Tensor lend(const std::string& name) {
        if (const auto known = lent.find(name); known != lent.end()) {
            if (auto alive = known->second.lock()) {
                return torch::Tensor(std::move(alive));
            }
        }
        auto tensor = loaded(name);
        lent.insert_or_assign(name, WeakTensor(tensor.getIntrusivePtr()));
        return tensor;
    }

    NamedTensors tensors() const {
        NamedTensors all(created.begin(), created.end());
        for (const auto& [name, weak] : lent) {
            if (auto alive = weak.lock()) {
                all.emplace_back(name, torch::Tensor(std::move(alive)));
            }
        }
        return all;
    }

    torch::Tensor made(const std::string& name, torch::IntArrayRef shape, const Init& init) const {
        if (options.device.is_meta()) {
            return at::empty(shape, at::device(torch::kMeta).dtype(options.dtype));
        }
        const auto start = initialised(shape, init, stream_of(seed, name));
        return start.to(options.device, options.dtype).requires_grad_(true);
    }

    std::vector<std::string> names() const {
        std::set<std::string> all;
        const auto add = [&](const auto& map) {
            for (const auto& entry : map) {
                all.insert(entry.first);
            }
        };
        add(stored);
        if (creating) {
            add(created);
        }
        return {all.begin(), all.end()};
    }
};

Weights::Weights(std::shared_ptr<Store> store, std::string prefix)
    : store_(std::move(store)), prefix_(std::move(prefix)) {}

Weights Weights::load(const std::vector<std::filesystem::path>& files, WeightOptions options) {
    return of(lazy_tensors(files), joined(files), options);
}

Weights Weights::of(const NamedTensors& tensors, const std::string& where, WeightOptions options) {
    LazyTensors stored;
    for (const auto& [name, tensor] : tensors) {
        if (!stored.emplace(name, at_hand(tensor)).second) {
            throw Error(where, c10::str("tensor ", quoted_name(name), " is given twice"));
        }
    }
    return of(std::move(stored), where, options);
}

Weights Weights::of(LazyTensors tensors, const std::string& where, WeightOptions options) {
    auto store = std::make_shared<Store>();
    store->options = options;
    store->where = where;
    store->stored = std::move(tensors);
    return {store, ""};
}

Weights Weights::create(uint64_t seed, WeightOptions options) {
    auto store = std::make_shared<Store>();
    store->options = options;
    store->creating = true;
    store->seed = seed;
    store->where = "new weights";
    return {store, ""};
}

Weights Weights::scope(const std::string& name) const {
    return {store_, prefix_ + name + "."};
}

Weights Weights::scope(const std::string& name, int64_t index) const {
    return {store_, c10::str(prefix_, name, ".", index, ".")};
}

torch::Tensor Weights::at(const std::string& name, torch::IntArrayRef shape, Init init) const {
    const std::string key = full(name);
    const bool make = store_->creating && !store_->created.contains(key);
    if (!make && store_->shape(key) != shape.vec()) {
        TORCH_CHECK(!store_->creating, "tensor ", key, " was made as ", store_->shape(key),
                    ", not ", shape);
        throw Error(
            store_->where,
            c10::str("tensor ", quoted_name(key), " is ", torch::IntArrayRef(store_->shape(key)),
                     ", but the model needs ", shape),
            "the file is of another kind of model, or its config.json is not its own");
    }
    if (make) {
        store_->created.emplace(key, store_->made(key, shape, init));
    }
    return store_->creating ? store_->created.at(key) : store_->lend(key);
}

bool Weights::has(const std::string& name) const {
    return store_->has(full(name));
}

std::vector<int64_t> Weights::shape(const std::string& name) const {
    return store_->shape(full(name));
}

bool Weights::creating() const {
    return store_->creating;
}

void Weights::patch_with(WeightPatch patch) {
    store_->patch = std::move(patch);
}

void Weights::add(const std::string& name, const torch::Tensor& tensor) {
    TORCH_CHECK(!creating(), "nothing is added to weights in the making");
    const bool is_new = store_->stored.emplace(full(name), at_hand(tensor)).second;
    TORCH_CHECK(is_new, "tensor ", full(name), " is there already");
}

std::vector<std::string> Weights::names() const {
    auto all = store_->names();
    std::erase_if(all, [&](const std::string& name) { return !name.starts_with(prefix_); });
    return all;
}

std::vector<std::string> Weights::unused() const {
    auto all = store_->names();
    std::erase_if(all, [&](const std::string& name) {
        return store_->lent.contains(name) || store_->created.contains(name);
    });
    return all;
}

NamedTensors Weights::tensors() const {
    return store_->tensors();
}

std::string Weights::full(const std::string& name) const {
    return prefix_ + name;
}

const WeightOptions& Weights::options() const {
    return store_->options;
}

}  // namespace weft
