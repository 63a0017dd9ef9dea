// weft stylize IN -p TEXT -o OUT
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "cli/command.h"
#include "cli/models.h"
#include "cli/plan_options.h"
#include "cli/progress.h"
#include "io/files/error.h"
#include "io/media/output_file.h"
#include "io/media/picture.h"
#include "io/media/reader.h"
#include "video/plan_file.h"
#include "video/run.h"

namespace weft {
namespace {

struct StylizeOptions : PlanOptions {
    std::string in;
    std::string out;
};

/// True for names that write_picture takes: a still in gives a still out.
bool names_picture(const std::filesystem::path& path) {
    auto ending = path.extension().string();
    std::transform(ending.begin(), ending.end(), ending.begin(),
                   [](unsigned char letter) { return std::tolower(letter); });
    return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

/// Refuses an OUT that cannot be meant, before anything slow starts.
void check_out(const StylizeOptions& options) {
    if (same_file(options.in, options.out)) {
        throw Error(options.out, "is the input itself", "choose another OUT");
    }
    std::error_code ignored;
    if (!options.overwrite && std::filesystem::exists(options.out, ignored)) {
        throw Error(options.out, "exists already", "give -y to replace it, or another name");
    }
}

void check_given(const StylizeOptions& options, const Plan& plan) {
    Problems problems;
    if (plan.prompt.empty()) {
        problems.emplace_back(
            "-p: say what the result should look like, e.g. -p \"watercolor painting\"");
    }
    if (options.out.empty() && !options.dry_run) {
        problems.emplace_back("-o: say where the result goes, e.g. -o out.mp4");
    }
    if (names_picture(options.out) && !names_picture(options.in)) {
        problems.emplace_back(
            "-o: '" + options.out +
            "' is a picture but IN is a clip; write a video (mp4, mkv, mov, webm)");
    }
    throw_problems(problems);
}

StreamInfo picture_info(const std::filesystem::path& path, const torch::Tensor& pixels) {
    StreamInfo info;
    info.path = path;
    info.height = pixels.size(1);
    info.width = pixels.size(2);
    info.frames = 1;
    return info;
}

Job make_job(const StylizeOptions& options, const Plan& plan, const StreamInfo& info,
             const std::filesystem::path& model) {
    RunChoices choices;
    choices.on_gpu = set_up_device(options).device.is_cuda();
    if (options.batch > 0) {
        choices.batch = options.batch;
    }
    auto job = resolve(plan, info, DiffusionModel::read_traits(model), choices);
    if (!options.save_plan.empty()) {
        save_plan(options.save_plan, job.plan);
    }
    return job;
}

void stylize_picture(const StylizeOptions& options, const Plan& plan,
                     const std::filesystem::path& model, ProgressPrinter& printer) {
    const auto pixels = read_picture(options.in);  // [3|4, h, w]
    const auto job = make_job(options, plan, picture_info(options.in, pixels), model);
    if (options.dry_run) {
        std::fputs(describe(job).c_str(), stdout);
        return;
    }
    StageClock clock;
    const auto start = std::chrono::steady_clock::now();
    const Editor editor(DiffusionModel::load(model, options.device), job);
    auto edited = editor.render({pixels.slice(0, 0, 3).unsqueeze(0), {0}, {0.0}}, {&clock, {}})[0];
    if (pixels.size(0) == 4) {
        edited = torch::cat({edited, pixels.slice(0, 3)});
    }
    write_picture(options.out, edited);
    const auto elapsed = std::chrono::steady_clock::now() - start;
    printer.finish(
        {.frames = 1, .elapsed_s = std::chrono::duration<double>(elapsed).count(), .warnings = {}},
        clock);
}

void stylize_clip(const StylizeOptions& options, const Plan& plan,
                  const std::filesystem::path& model, const Context& context,
                  ProgressPrinter& printer) {
    ReadOptions reading;
    if (!plan.from.empty()) {
        reading.from = Position::parse(plan.from, "--from");
    }
    if (!plan.to.empty()) {
        reading.to = Position::parse(plan.to, "--to");
    }
    auto source = open_video(options.in, reading);
    const auto job = make_job(options, plan, source->info(), model);
    if (options.dry_run) {
        std::fputs(describe(job).c_str(), stdout);
        return;
    }
    StageClock clock;
    const Editor editor(DiffusionModel::load(model, options.device), job);
    const auto report = run(editor, std::move(source),
                            {.out = options.out,
                             .overwrite = options.overwrite,
                             .stop = context.stop,
                             .on_progress = [&](const RunProgress& now) { printer.show(now); }},
                            clock);
    printer.finish(report, clock);
}

void stylize(const StylizeOptions& options, const Context& context) {
    const Plan plan = collect_plan(options);
    check_given(options, plan);
    check_out(options);
    const auto model = locate_model(plan.model, context);
    ProgressPrinter printer(*progress_mode_named(options.progress), context.verbosity);
    if (names_picture(options.in) && (options.out.empty() || names_picture(options.out))) {
        stylize_picture(options, plan, model, printer);
    } else {
        stylize_clip(options, plan, model, context, printer);
    }
}

}  // namespace

void add_stylize(CLI::App& command, Context& context) {
    auto options = std::make_shared<StylizeOptions>();
    command.add_option("IN", options->in, "clip or picture: any file libav opens")
        ->required()
        ->type_name("");
    command.add_option("-o,--out", options->out, "result; audio and other streams are copied")
        ->type_name("OUT")
        ->group("Output");
    add_plan_options(command, options);
    command.footer([&context] { return model_help(context); });
    command.callback([options, &context] { stylize(*options, context); });
}

}  // namespace weft
