// weft inspect PATH...

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/inspect_model.h"
#include "cli/report.h"
#include "io/media/color_config.h"
#include "io/media/inspect.h"

namespace weft {
namespace {

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

Report describe_colors(const std::filesystem::path& path) {
    const auto config = ColorConfig::open(path.string());
    Report report{{"path", path.string()}, {"kind", "colour configuration"}};
    for (const auto& space : config.spaces()) {
        Report entry{{"name", space.name}};
        if (!space.aliases.empty()) {
            entry["aliases"] = space.aliases;
        }
        if (!space.description.empty()) {
            entry["description"] = space.description;
        }
        report["spaces"].push_back(entry);
    }
    return report;
}

/// By its name: pickles too, which are refused with the way out.
bool is_model_file(const std::filesystem::path& path) {
    const auto ending = path.extension().string();
    return ending == ".safetensors" || ending == ".ckpt" || ending == ".pt" || ending == ".pth" ||
           ending == ".bin";
}

Report describe(const std::filesystem::path& path) {
    if (std::filesystem::is_directory(path)) {
        return describe_model(path);
    }
    if (path.extension() == ".ocio") {
        return describe_colors(path);
    }
    return is_model_file(path) ? describe_tensor_file(path) : describe_media(path);
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
    command
        .add_option("PATH", options->paths,
                    "media file, model folder, .safetensors file or config.ocio")
        ->required()
        ->type_name("");
    command.add_flag("--json", options->json, "print JSON");
    command.footer("");
    command.callback([options] {
        inspect(options->paths, options->json ? ReportStyle::json : ReportStyle::text);
    });
}

}  // namespace weft
