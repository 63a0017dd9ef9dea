// weft inspect PATH...
#include <c10/core/ScalarType.h>
#include <c10/util/StringUtil.h>

#include <CLI/CLI.hpp>
#include <set>

#include "cli/command.h"
#include "cli/report.h"
#include "diffusion/autoencoder.h"
#include "diffusion/clip.h"
#include "diffusion/model.h"
#include "diffusion/unet.h"
#include "io/files/error.h"
#include "io/files/model_folder.h"
#include "io/files/safetensors.h"
#include "io/media/inspect.h"

namespace weft {
namespace {

const char* prediction_name(Prediction prediction) {
    switch (prediction) {
        case Prediction::epsilon:
            return "epsilon";
        case Prediction::v:
            return "v";
        case Prediction::sample:
            return "sample";
    }
    return "unknown";
}

/// What lies in some tensor files: counts, bytes and dtypes.
Report describe_tensors(const std::vector<std::filesystem::path>& files) {
    int64_t tensors = 0;
    int64_t parameters = 0;
    int64_t bytes = 0;
    std::set<std::string> dtypes;
    for (const auto& file : files) {
        const SafeTensors opened(file);
        for (const auto& [name, entry] : opened.entries()) {
            ++tensors;
            bytes += entry.end_byte - entry.begin_byte;
            parameters += (entry.end_byte - entry.begin_byte) /
                          static_cast<int64_t>(c10::elementSize(entry.dtype));
            dtypes.insert(c10::toString(entry.dtype));
        }
    }
    return {{"files", files.size()},
            {"tensors", tensors},
            {"parameters", parameters},
            {"bytes", bytes},
            {"dtypes", dtypes}};
}

Report describe_component(const ModelFolder& folder, const std::string& name) {
    Report report;
    if (name == "tokenizer" || name == "scheduler" || name == "feature_extractor") {
        report["class"] = folder.index().texts(name).back();
        return report;
    }
    const auto own_class = folder.config(name).text("_class_name", "");
    report["class"] = own_class.empty() ? folder.index().texts(name).back() : own_class;
    try {
        report.update(describe_tensors(folder.weight_files(name)));
    } catch (const Error& error) {
        report["problem"] = error.what();  // a part that weft may not even need, as a pickle
    }
    return report;
}

/// Names in a model's files that no layer takes: a sign of a variant that weft reads only in part.
/// The networks are built without data.
std::vector<std::string> unmatched_names(const ModelFolder& folder) {
    std::vector<std::string> names;
    const auto build = [&](const std::string& component, const auto& make) {
        const auto weights =
            folder.weights(component, WeightOptions{torch::kMeta, torch::kFloat32});
        make(folder.config(component), weights);
        for (const auto& name : weights.unused()) {
            names.push_back(c10::str(component, ": ", name));
        }
    };
    build("unet", [](const Config& config, const Weights& weights) {
        return Unet(read_unet_config(config), weights);
    });
    build("text_encoder", [](const Config& config, const Weights& weights) {
        return ClipTextModel(read_clip_text_config(config), weights);
    });
    build("vae", [](const Config& config, const Weights& weights) {
        return make_autoencoder(config, weights);
    });
    return names;
}

Report describe_model(const std::filesystem::path& path) {
    const ModelFolder folder(path);
    const auto traits = DiffusionModel::read_traits(path);
    Report report{{"path", path.string()},
                  {"kind", "model"},
                  {"family", traits.family},
                  {"prediction", prediction_name(traits.prediction)},
                  {"source_conditioned", traits.source_conditioned},
                  {"latent_channels", traits.latent_channels},
                  {"downscale", traits.downscale},
                  {"size_multiple", traits.size_multiple},
                  {"native_size", traits.native_size},
                  {"edit_size", traits.edit_size > 0 ? traits.edit_size : traits.native_size},
                  {"text_width", traits.text_width}};
    report["defaults"] = {{"steps", traits.defaults.steps},
                          {"guidance", traits.defaults.guidance},
                          {"image_guidance", traits.defaults.image_guidance},
                          {"sampler", traits.defaults.sampler},
                          {"strength", traits.defaults.strength}};
    for (const auto& name : folder.components()) {
        report["components"][name] = describe_component(folder, name);
    }
    report["unmatched"] = unmatched_names(folder);
    report["words"] = traits.words;
    return report;
}

Report describe_tensor_file(const std::filesystem::path& path) {
    const SafeTensors file(path);
    Report report{{"path", path.string()}, {"kind", "tensors"}};
    report.update(describe_tensors({path}));
    report["metadata"] = file.metadata();
    return report;
}

Report describe_side(const SideStream& stream) {
    Report report{{"stream", stream.index}, {"kind", stream.kind}, {"codec", stream.codec}};
    if (!stream.language.empty()) {
        report["language"] = stream.language;
    }
    if (stream.sample_rate > 0) {
        report["sample_rate"] = stream.sample_rate;
        report["channels"] = stream.channels;
    }
    return report;
}

Report describe_video(const StreamInfo& video) {
    return {{"codec", video.codec},
            {"width", video.width},
            {"height", video.height},
            {"frame_rate", video.frame_rate.value()},
            {"frames", video.frames},
            {"duration_s", video.duration.seconds()},
            {"start_s", video.start.seconds()},
            {"pixel_format", video.pixel_format},
            {"bit_depth", video.bit_depth},
            {"alpha", video.has_alpha},
            {"interlaced", video.interlaced},
            {"rotation", video.rotation},
            {"color", to_string(video.color)}};
}

Report describe_media(const std::filesystem::path& path) {
    const auto media = inspect_media(path);
    Report report{{"path", path.string()},        {"kind", "media"},
                  {"container", media.container}, {"duration_s", media.duration.seconds()},
                  {"bit_rate", media.bit_rate},   {"chapters", media.chapters}};
    if (media.video) {
        report["video"] = describe_video(*media.video);
    }
    for (const auto& stream : media.others) {
        report["others"].push_back(describe_side(stream));
    }
    report["tags"] = media.tags;
    return report;
}

Report describe(const std::filesystem::path& path) {
    if (std::filesystem::is_directory(path)) {
        return describe_model(path);
    }
    return path.extension() == ".safetensors" ? describe_tensor_file(path) : describe_media(path);
}

void inspect(const std::vector<std::string>& paths, ReportStyle style) {
    Report all = Report::array();
    for (const auto& path : paths) {
        auto report = describe(path);
        if (style == ReportStyle::text) {
            print_report(report, style);
        }
        all.push_back(std::move(report));
    }
    if (style == ReportStyle::json) {
        print_report(all.size() == 1 ? all[0] : all, style);
    }
}

}  // namespace

void add_inspect(CLI::App& command, Context& /*context*/) {
    struct Options {
        std::vector<std::string> paths;
        bool json = false;
    };

    auto options = std::make_shared<Options>();
    command.add_option("PATH", options->paths, "media file, model folder or .safetensors file")
        ->required()
        ->type_name("");
    command.add_flag("--json", options->json, "print JSON");
    command.footer("");
    command.callback([options] {
        inspect(options->paths, options->json ? ReportStyle::json : ReportStyle::text);
    });
}

}  // namespace weft
