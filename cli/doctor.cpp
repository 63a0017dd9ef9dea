// weft doctor
#include <ATen/Parallel.h>
#include <torch/version.h>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/models.h"
#include "cli/report.h"
#include "diffusion/device.h"
#include "diffusion/model.h"
#include "io/files/error.h"
#include "io/media/color_config.h"
#include "io/media/inspect.h"

namespace weft {
namespace {

const char* dtype_name(torch::ScalarType dtype) {
    return dtype == torch::kFloat32 ? "f32" : dtype == torch::kBFloat16 ? "bf16" : "f16";
}

Report describe_starter(const Context& context) {
    std::vector<std::string> shelves;
    for (const auto& shelf : model_shelves(context)) {
        shelves.push_back(shelf.string());
    }
    Report report{{"looked_in", shelves}};
    try {
        const auto folder = locate_model("", context);
        const auto traits = DiffusionModel::read_traits(folder);
        report["found"] = true;
        report["path"] = folder.string();
        report["family"] = traits.family;
    } catch (const Error& error) {
        report["found"] = false;
        report["problem"] = error.what();
    }
    return report;
}

/// The configuration that --colorspace looks names up in, where --ocio does not say otherwise.
Report describe_colors() {
    try {
        const auto config = ColorConfig::open("");
        Report report{{"configuration", config.name()}};
        for (const auto& space : config.spaces()) {
            report["spaces"].push_back(space.name);
        }
        return report;
    } catch (const Error& error) {
        return {{"problem", error.what()}};
    }
}

Report examine(const Context& context) {
    const auto placement = choose_placement({});
    Report report{{"weft", WEFT_VERSION},
                  {"libtorch", TORCH_VERSION},
                  {"program", context.program.string()},
                  {"cpu", describe_cpu()},
                  {"threads", at::get_num_threads()},
                  {"cpu_bf16", cpu_has_bf16()},
                  {"gpus", describe_gpus()}};
    if (const auto problem = cuda_problem(); !problem.empty()) {
        report["gpu_problem"] = problem;
    }
    report["device"] = placement.device.str();
    report["dtype"] = dtype_name(placement.dtype);
    report["codecs"] = available_codecs();
    report["colors"] = describe_colors();
    report["starter"] = describe_starter(context);
    return report;
}

}  // namespace

void add_doctor(CLI::App& command, Context& context) {
    auto json = std::make_shared<bool>(false);
    command.add_flag("--json", *json, "print JSON");
    command.footer("");
    command.callback([json, &context] {
        print_report(examine(context), *json ? ReportStyle::json : ReportStyle::text);
    });
}

}  // namespace weft
