// weft generate -p TEXT -o PICTURE
#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/command.h"
#include "cli/models.h"
#include "cli/plan_options.h"
#include "cli/progress.h"
#include "io/files/error.h"
#include "io/media/picture.h"
#include "video/plan_file.h"
#include "video/run.h"

namespace weft {
namespace {

struct GenerateOptions : PlanOptions {
    std::string out;
    int64_t frames = 1;
};

void check_given(const GenerateOptions& options, const Plan& plan) {
    Problems problems;
    if (plan.prompt.empty()) {
        problems.emplace_back("-p: say what to draw, e.g. -p \"a red ball on the sea\"");
    }
    if (options.out.empty() && !options.dry_run) {
        problems.emplace_back("-o: say where the picture goes, e.g. -o ball.png");
    }
    if (options.frames != 1) {
        problems.emplace_back("--frames: this version draws one picture; give --frames 1");
    }
    if (plan.prompt.keys.size() > 1) {
        problems.emplace_back("prompt: one picture takes one prompt");
    }
    throw_problems(problems);
    std::error_code ignored;
    if (!options.overwrite && std::filesystem::exists(options.out, ignored)) {
        throw Error(options.out, "exists already", "give -y to replace it, or another name");
    }
}

/// Text alone steers better with more steps and guidance than an edit takes, where the model says
/// so.
ModelTraits for_generation(ModelTraits traits) {
    auto& defaults = traits.defaults;
    defaults.steps = defaults.generation_steps.value_or(defaults.steps);
    defaults.guidance = defaults.generation_guidance.value_or(defaults.guidance);
    return traits;
}

/// The job of drawing from nothing: the "source" is the wanted size.
Job make_job(const GenerateOptions& options, Plan plan, const ModelTraits& traits) {
    const Size square{traits.native_size, traits.native_size};
    const Size size = parse_size(plan.size).value_or(square);
    plan.size = std::to_string(size.width) + "x" + std::to_string(size.height);
    StreamInfo info;
    info.width = size.width;
    info.height = size.height;
    info.frames = options.frames;
    auto job = resolve(plan, info, traits);
    if (!options.save_plan.empty()) {
        save_plan(options.save_plan, job.plan);
    }
    return job;
}

void generate(const GenerateOptions& options, const Context& context) {
    const Plan plan = collect_plan(options);
    check_given(options, plan);
    set_up_device(options);
    const auto folder = locate_model(plan.model, context);
    const auto job = make_job(
        options, plan, for_generation(DiffusionModel::read_traits(folder, model_options(plan))));
    if (options.dry_run) {
        std::fputs(describe(job).c_str(), stdout);
        return;
    }
    const auto model = DiffusionModel::load(folder, options.device, model_options(job.plan));
    ProgressPrinter printer(*progress_mode_named(options.progress), context.verbosity);
    StageClock clock;
    const auto start = std::chrono::steady_clock::now();
    RunProgress progress{.frames_total = 1, .steps = *job.plan.steps};
    const auto elapsed_s = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    const auto on_step = [&] {
        if (context.stopping()) {
            throw Interrupted("'" + options.out + "' was not written");
        }
        ++progress.step;
        progress.elapsed_s = elapsed_s();
        printer.show(progress);
    };
    const std::vector<int64_t> index{0};
    write_picture(options.out, generate(*model, job, index, {&clock, on_step})[0]);
    printer.finish({.frames = 1, .elapsed_s = elapsed_s(), .warnings = model->notes()}, clock);
}

}  // namespace

void add_generate(CLI::App& command, Context& context) {
    auto options = std::make_shared<GenerateOptions>();
    command.add_option("-o,--out", options->out, "picture to write (png, jpg)")
        ->type_name("OUT")
        ->group("Output");
    command.add_option("--frames", options->frames, "pictures to draw: 1 (default: 1)")
        ->type_name("N")
        ->group("Output");
    add_plan_options(command, options, {"mask",          "mask_feather",
                                        "strength",      "image_guidance",
                                        "from",          "to",
                                        "ocio",          "colorspace",
                                        "codec",         "crf",
                                        "preset",        "noise",
                                        "noise_share",   "mode",
                                        "key_every",     "detail",
                                        "shape_fusion",  "pixel_fusion",
                                        "anchor_style",  "plug_and_play",
                                        "source_prompt", "segment_frames"});
    command.footer([&context] { return model_help(context); });
    command.callback([options, &context] { generate(*options, context); });
}

}  // namespace weft
