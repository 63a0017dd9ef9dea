// weft stylize IN -p TEXT -o OUT
#include <c10/util/StringUtil.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/command.h"
#include "cli/models.h"
#include "cli/plan_options.h"
#include "cli/progress.h"
#include "io/files/error.h"
#include "io/media/location.h"
#include "io/media/output_file.h"
#include "io/media/reader.h"
#include "video/analysis.h"
#include "video/plan_file.h"
#include "video/run.h"

namespace weft {
namespace {

struct StylizeOptions : PlanOptions {
    std::string in;
    std::string out;
};

/// Refuses an OUT that cannot be meant, before anything slow starts.
void check_out(const StylizeOptions& options) {
    if (same_file(options.in, options.out)) {
        throw Error(options.out, "is the input itself", "choose another OUT");
    }
    std::error_code ignored;
    const auto status = std::filesystem::status(options.out, ignored);
    if (!options.overwrite && std::filesystem::is_regular_file(status)) {
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
    throw_problems(problems);
}

Job make_job(const StylizeOptions& options, const Plan& plan, const StreamInfo& info,
             const std::filesystem::path& model) {
    RunChoices choices;
    choices.on_gpu = set_up_device(options).device.is_cuda();
    if (options.batch > 0) {
        choices.batch = options.batch;
    }
    auto job =
        resolve(plan, info, DiffusionModel::read_traits(model, model_options(plan)), choices);
    if (!options.save_plan.empty()) {
        save_plan(options.save_plan, job.plan);
    }
    return job;
}

/// One picture holds one frame.
void check_picture(const std::filesystem::path& out, const Job& job) {
    const bool one = locate_output(out).kind == Location::Kind::file && names_picture(out);
    if (one && job.plan.container.empty() && job.frames > 1) {
        throw UsageError("-o", c10::str("'", out.string(), "' is a picture but IN is a clip"),
                         "write a video (mp4, mkv, mov, webm) or a sequence (shot.%04d.png)");
    }
}

/// Finds the clip's motion where the noise follows it; the source is read once more for that.
void follow_clip(Job& job, const StylizeOptions& options, const Plan& plan,
                 const Context& context) {
    if (!job.noise.kind->moves) {
        return;
    }
    if (locate_input(options.in).kind == Location::Kind::pipe) {
        throw UsageError("--noise", "a pipe cannot be read twice, which following its motion needs",
                         "use --noise fixed, or make IN a file");
    }
    const auto part =
        c10::str("from ", plan.from, " to ", plan.to, options.keep_going ? " ..." : "");
    follow_motion(job, analyse(open_video(options.in, read_options(options, plan, context)),
                               {.reading = part, .stop = context.stop}));
}

void stylize_clip(const StylizeOptions& options, const Plan& plan,
                  const std::filesystem::path& model, const Context& context,
                  ProgressPrinter& printer) {
    auto source = open_video(options.in, read_options(options, plan, context));
    auto job = make_job(options, plan, source->info(), model);
    if (options.dry_run) {
        std::fputs(describe(job).c_str(), stdout);
        return;
    }
    check_picture(options.out, job);
    follow_clip(job, options, plan, context);
    StageClock clock;
    const Editor editor(DiffusionModel::load(model, options.device, model_options(job.plan)), job);
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
    stylize_clip(options, plan, model, context, printer);
}

}  // namespace

void add_stylize(CLI::App& command, Context& context) {
    auto options = std::make_shared<StylizeOptions>();
    command
        .add_option("IN", options->in,
                    "clip, picture, sequence (shot.%04d.exr, folder) or - for a pipe")
        ->required()
        ->type_name("");
    command
        .add_option("-o,--out", options->out,
                    "result, its kind by the ending; audio and all else is copied")
        ->type_name("OUT")
        ->group("Output");
    add_plan_options(command, options);
    command.footer([&context] { return model_help(context); });
    command.callback([options, &context] { stylize(*options, context); });
}

}  // namespace weft
