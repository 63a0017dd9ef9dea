#include "diffusion/convert_model.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <map>
#include <system_error>

#include "diffusion/checkpoint.h"
#include "diffusion/clip_vocabulary.h"
#include "io/files/error.h"
#include "io/files/finite.h"
#include "io/files/tensor_stream.h"
#include "io/files/text.h"
#include "io/files/whole_file.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

torch::ScalarType target_dtype(torch::ScalarType stored, const ConvertRequest& request) {
    return at::isFloatingType(stored) ? request.dtype.value_or(stored) : stored;
}

// Casts, refusing numbers that the new dtype turns into infinity.
torch::Tensor cast(const torch::Tensor& tensor, torch::ScalarType dtype, const std::string& name) {
    if (tensor.scalar_type() == dtype)
        return tensor;
    const torch::Tensor wide = tensor.to(torch::kFloat32);
    // f8_e4m3 has no infinity: what lies beyond 448 becomes NaN.
    torch::Tensor out = wide.to(dtype);
    if (!at::isfinite(out.to(torch::kFloat32)).all().item<bool>())
        throw Error(name, c10::str("holds numbers that do not fit ", c10::toString(dtype)),
                    "choose a --dtype with a larger range, e.g. bf16");
    return out;
}

StreamedTensor streamed(const std::string& name, const LazyTensor& lazy,
                        const ConvertRequest& request) {
    const torch::ScalarType dtype = target_dtype(lazy.dtype, request);
    return {.name = name, .dtype = dtype, .shape = lazy.shape, .make = [name, lazy, dtype] {
                const torch::Tensor read = lazy.read();
                if (!all_finite(read))
                    throw Error(name, "holds NaN or infinity",
                                "the file is damaged, or its training failed; fetch it again");
                torch::Tensor out = cast(read, dtype, name);
                // The copy is what is written; the file's pages may go.
                out = out.is_alias_of(read) ? out.clone(at::MemoryFormat::Contiguous) : out;
                if (lazy.drop)
                    lazy.drop();
                return out;
            }};
}

void count(const std::vector<StreamedTensor>& tensors, ConvertReport& report) {
    for (const StreamedTensor& tensor : tensors) {
        ++report.tensors;
        report.bytes += c10::multiply_integers(tensor.shape) *
                        static_cast<int64_t>(c10::elementSize(tensor.dtype));
    }
}

void write_text(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    WholeFile file(path);
    file.write(text);
    file.commit();
}

// To a folder

std::string weights_name(const std::string& component) {
    return component.starts_with("text_encoder") ? "model.safetensors"
                                                 : "diffusion_pytorch_model.safetensors";
}

void write_weights(const ModelSource& source, const std::string& component, const fs::path& folder,
                   const ConvertRequest& request, ConvertReport& report) {
    std::vector<StreamedTensor> tensors;
    for (const auto& [name, lazy] : source.tensors(component))
        tensors.push_back(streamed(name, lazy, request));
    count(tensors, report);
    fs::create_directories(folder / component);
    save_safetensors(folder / component / weights_name(component), std::move(tensors),
                     {{"format", "pt"}});
}

bool has_weights(const std::string& component) {
    return component == "unet" || component == "vae" || component.starts_with("text_encoder");
}

void write_tokenizer(const Checkpoint& checkpoint, const std::string& component,
                     const fs::path& folder) {
    const TokenizerTexts texts = clip_vocabulary_texts(find_clip_vocabulary());
    write_text(folder / component / "vocab.json", texts.vocab_json);
    write_text(folder / component / "merges.txt", texts.merges);
    write_text(folder / component / "tokenizer_config.json",
               c10::str("{\n  \"bos_token\": \"<|startoftext|>\",\n  \"do_lower_case\": true,\n  "
                        "\"eos_token\": \"<|endoftext|>\",\n  \"model_max_length\": 77,\n  "
                        "\"pad_token\": \"",
                        checkpoint.pad_token(component),
                        "\",\n  \"tokenizer_class\": \"CLIPTokenizer\",\n  \"unk_token\": "
                        "\"<|endoftext|>\"\n}\n"));
}

void checkpoint_to_folder(const Checkpoint& checkpoint, const fs::path& folder,
                          const ConvertRequest& request, ConvertReport& report) {
    write_text(folder / "model_index.json", checkpoint_index_json(checkpoint.facts()));
    for (const std::string& component : checkpoint.components()) {
        if (component.starts_with("tokenizer")) {
            write_tokenizer(checkpoint, component, folder);
            continue;
        }
        const bool schedules = component.ends_with("scheduler");
        write_text(folder / component / (schedules ? "scheduler_config.json" : "config.json"),
                   checkpoint_config_json(checkpoint.facts(), component));
        if (!schedules)
            write_weights(checkpoint, component, folder, request, report);
    }
    report.left_out = checkpoint.strangers();
}

// Everything but the weights is copied as it is.
void folder_to_folder(const ModelSource& source, const fs::path& folder,
                      const ConvertRequest& request, ConvertReport& report) {
    fs::create_directories(folder);
    for (const auto& entry : fs::directory_iterator(source.path()))
        if (entry.is_regular_file())
            fs::copy_file(entry.path(), folder / entry.path().filename());
    for (const std::string& component : source.components()) {
        fs::create_directories(folder / component);
        for (const auto& entry : fs::directory_iterator(source.path() / component)) {
            const std::string name = entry.path().filename().string();
            const bool weights =
                name.find(".safetensors") != std::string::npos || name.ends_with(".bin");
            if (entry.is_regular_file() && !weights)
                fs::copy_file(entry.path(), folder / component / name);
        }
        if (has_weights(component))
            write_weights(source, component, folder, request, report);
    }
}

// To a file

// The tensor as a checkpoint stores it, out of its parts.
torch::Tensor stored_tensor(const std::vector<LazyTensor>& parts, const StoredName& name) {
    std::vector<torch::Tensor> read;
    read.reserve(parts.size());
    for (const LazyTensor& part : parts) read.push_back(part.read());
    torch::Tensor out = read.size() == 1 ? read.front() : torch::cat(read);
    if (name.reshaping == Reshaping::transposed)
        out = out.t();
    if (name.reshaping == Reshaping::linear && out.dim() == 2)
        out = out.unsqueeze(-1).unsqueeze(-1);
    return out.contiguous();
}

std::vector<int64_t> stored_shape(const std::vector<LazyTensor>& parts, const StoredName& name) {
    std::vector<int64_t> shape = parts.front().shape;
    for (size_t i = 1; i < parts.size(); ++i) shape.at(0) += parts[i].shape.at(0);
    if (name.reshaping == Reshaping::transposed)
        std::swap(shape.at(0), shape.at(1));
    if (name.reshaping == Reshaping::linear && shape.size() == 2)
        shape.insert(shape.end(), {1, 1});
    return shape;
}

LazyTensor stored_lazy(const std::map<std::string, LazyTensors>& tensors, const StoredName& name,
                       const std::string& where) {
    std::vector<LazyTensor> parts;
    for (const std::string& part : name.parts) {
        const auto found = tensors.at(name.component).find(part);
        if (found == tensors.at(name.component).end())
            throw Error(where, c10::str("lacks a part of ", quoted_name(name.stored)),
                        "the model is incomplete; fetch it again");
        parts.push_back(found->second);
    }
    return {.dtype = parts.front().dtype,
            .shape = stored_shape(parts, name),
            .read = [parts, name] { return stored_tensor(parts, name); },
            .drop =
                [parts] {
                    for (const LazyTensor& part : parts)
                        if (part.drop)
                            part.drop();
                }};
}

bool is_open_clip(const ModelSource& source) {
    return source.has("text_encoder") &&
           source.config("text_encoder").text("hidden_act", "quick_gelu") == "gelu";
}

// What a model without its scheduler must still say.
std::map<std::string, std::string> spoken(const ModelSource& source) {
    const std::string prediction = source.config("scheduler").text("prediction_type", "epsilon");
    return {{"format", "pt"},
            {"modelspec.prediction_type", prediction == "v_prediction" ? "v" : prediction}};
}

void folder_to_file(const ModelSource& source, const ConvertRequest& request,
                    ConvertReport& report) {
    std::map<std::string, LazyTensors> tensors;
    ComponentNames names;
    for (const std::string& component : source.components()) {
        if (!has_weights(component))
            continue;
        tensors[component] = source.tensors(component);
        for (const auto& [name, lazy] : tensors[component]) names[component].push_back(name);
    }
    const auto layout = original_layout(names, is_open_clip(source));
    if (!layout)
        throw Error(source.path().string(),
                    "has no single-file layout: it is no Stable Diffusion model with a KL "
                    "autoencoder",
                    "give a folder as the target");
    std::vector<StreamedTensor> out;
    for (const StoredName& name : stored_names(names, *layout, report.left_out))
        out.push_back(
            streamed(name.stored, stored_lazy(tensors, name, source.path().string()), request));
    count(out, report);
    save_safetensors(request.to, std::move(out), spoken(source));
}

// Names stay; of a checkpoint what training left is dropped.
void file_to_file(const ConvertRequest& request, ConvertReport& report) {
    const SafeTensors file(request.from);
    std::vector<std::string> all;
    for (const auto& [name, entry] : file.entries()) all.push_back(name);
    const auto layout = checkpoint_layout(all);
    std::vector<StreamedTensor> out;
    for (const auto& [name, lazy] : lazy_tensors({request.from})) {
        const bool averaged = layout && name.starts_with("model_ema.");
        if (averaged)
            report.left_out.push_back(name);
        else
            out.push_back(streamed(name, lazy, request));
    }
    count(out, report);
    save_safetensors(request.to, std::move(out), file.metadata());
}

// A folder appears whole or not at all.
template <typename Fill>
void write_folder(const fs::path& to, const Fill& fill) {
    std::error_code ignored;
    if (fs::exists(to, ignored))
        throw Error(to.string(), "exists already", "give a name that is free");
    const fs::path part = to.parent_path() / c10::str(".", to.filename().string(), ".part");
    fs::remove_all(part, ignored);
    try {
        fill(part);
        fs::rename(part, to);
    } catch (const fs::filesystem_error& error) {
        fs::remove_all(part, ignored);
        throw Error(to.string(), "cannot be written: " + error.code().message());
    } catch (...) {
        fs::remove_all(part, ignored);
        throw;
    }
}

}  // namespace

ConvertReport convert_model(const ConvertRequest& request) {
    std::error_code ignored;
    if (fs::equivalent(request.from, request.to, ignored))
        throw Error(request.to.string(), "is the model itself", "give another name");
    ConvertReport report;
    const bool to_file = request.to.extension() == ".safetensors";
    const bool from_file = fs::is_regular_file(request.from, ignored);
    if (from_file && to_file) {
        file_to_file(request, report);
    } else if (to_file) {
        folder_to_file(*ModelSource::open(request.from), request, report);
    } else if (from_file) {
        const Checkpoint checkpoint(request.from);
        write_folder(request.to, [&](const fs::path& folder) {
            checkpoint_to_folder(checkpoint, folder, request, report);
        });
    } else {
        const auto source = ModelSource::open(request.from);
        write_folder(request.to, [&](const fs::path& folder) {
            folder_to_folder(*source, folder, request, report);
        });
    }
    return report;
}

torch::ScalarType stored_dtype_named(const std::string& name) {
    constexpr std::array<std::pair<const char*, torch::ScalarType>, 5> dtypes{{
        {"f32", torch::kFloat32},
        {"f16", torch::kFloat16},
        {"bf16", torch::kBFloat16},
        {"f8_e4m3", torch::kFloat8_e4m3fn},
        {"f8_e5m2", torch::kFloat8_e5m2},
    }};
    std::string known;
    for (const auto& [known_name, dtype] : dtypes) {
        if (name == known_name)
            return dtype;
        known += (known.empty() ? "" : ", ") + std::string(known_name);
    }
    throw UsageError("--dtype", "'" + name + "' is no dtype of model files",
                     "take one of " + known);
}

}  // namespace weft
