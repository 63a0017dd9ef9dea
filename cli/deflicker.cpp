// weft deflicker IN -o OUT
#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/plan_options.h"
#include "cli/progress.h"
#include "io/files/error.h"
#include "io/media/location.h"
#include "io/media/output_file.h"
#include "video/steady.h"

namespace weft {
namespace {

struct SteadyOptions {
    std::string in;
    std::string out;
    double amount = 1;
    double fine = 0;
    std::string codec;
    bool overwrite = false;
    std::string progress = "auto";
};

void check_files(const SteadyOptions& options) {
    if (same_file(options.in, options.out)) {
        throw Error(options.out, "is the input itself", "choose another OUT");
    }
    std::error_code ignored;
    if (!options.overwrite && std::filesystem::is_regular_file(options.out, ignored)) {
        throw Error(options.out, "exists already", "give -y to replace it, or another name");
    }
    if (locate_input(options.in).kind == Location::Kind::pipe) {
        throw UsageError("IN", "a pipe cannot be read twice, which finding its cuts needs",
                         "make IN a file");
    }
}

void steady(const SteadyOptions& options, const Context& context) {
    check_files(options);
    const auto mode = progress_mode_named(options.progress);
    if (!mode) {
        throw UsageError("--progress", "unknown value '" + options.progress + "'",
                         "known: auto, bar, plain, json, none");
    }
    ProgressPrinter printer(*mode, context.verbosity);
    const ClipSource source{.path = options.in, .reading = {.stop = context.stop}, .rate = {}};
    Plan plan;
    plan.codec = options.codec;
    plan.mode = "frames";
    auto job = resolve(plan, open_clip(source)->info(), {}, {.rereadable = true});
    StageClock clock;
    const auto start = std::chrono::steady_clock::now();
    const auto work = lay_out(job, source, context.stop, [&](int64_t frames) {
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
        printer.show({.stage = "analyse",
                      .frames_done = frames,
                      .frames_total = job.frames,
                      .elapsed_s = elapsed.count()});
    });
    const RunOptions run{.out = options.out,
                         .overwrite = options.overwrite,
                         .stop = context.stop,
                         .on_progress = [&](const RunProgress& now) { printer.show(now); }};
    printer.finish(
        run_steady(job, work, {.strength = options.amount, .detail = options.fine}, run, clock),
        clock);
}

}  // namespace

void add_deflicker(CLI::App& command, Context& context) {
    auto options = std::make_shared<SteadyOptions>();
    command.add_option("IN", options->in, "clip or sequence")->required()->type_name("");
    command.add_option("-o,--out", options->out, "result; audio and all else is copied")
        ->required()
        ->type_name("OUT");
    command
        .add_option("--amount", options->amount,
                    "slow flicker of brightness and colour that is taken away, 0 .. 1 (default: 1)")
        ->check(CLI::Range(0.0, 1.0))
        ->type_name("A");
    command
        .add_option("--fine", options->fine,
                    "flicker of detail that is taken away, 0 .. 1; costs sharpness (default: 0)")
        ->check(CLI::Range(0.0, 1.0))
        ->type_name("A");
    command.add_option("--codec", options->codec, "as for stylize (default: the container's)")
        ->type_name("NAME");
    command.add_flag("-y,--overwrite", options->overwrite, "replace an existing OUT");
    command
        .add_option("--progress", options->progress, "auto, bar, plain, json, none (default: auto)")
        ->type_name("KIND");
    command.callback([options, &context] { steady(*options, context); });
}

}  // namespace weft
