// weft stylize IN -p TEXT -o OUT
#include <c10/util/StringUtil.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string_view>
#include <utility>

#include "cli/command.h"
#include "cli/models.h"
#include "cli/plan_options.h"
#include "cli/progress.h"
#include "io/files/error.h"
#include "io/media/location.h"
#include "io/media/output_file.h"
#include "io/media/reader.h"
#include "io/media/segments.h"
#include "video/clip_work.h"
#include "video/in_between.h"
#include "video/plan_file.h"
#include "video/run.h"
#include "video/work_folder.h"

namespace weft {
namespace {

struct StylizeOptions : PlanOptions {
    std::string in;
    std::string out;
    bool restart = false;
    bool keep_work = false;
    std::string segments;  // "A-B"
};

/// Refuses an OUT that cannot be meant, before anything slow starts.
void check_out(const StylizeOptions& options, const Plan& plan) {
    if (same_file(options.in, options.out)) {
        throw Error(options.out, "is the input itself", "choose another OUT");
    }
    if (!plan.mask.empty() && same_file(plan.mask, options.out)) {
        throw Error(options.out, "is the mask itself", "choose another OUT");
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
    choices.rereadable = locate_input(options.in).kind != Location::Kind::pipe;
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

/// Reads "3-7" or "3".
std::optional<std::pair<int64_t, int64_t>> parse_segments(const std::string& text) {
    if (text.empty()) {
        return std::nullopt;
    }
    const auto number = [](std::string_view digits) {
        int64_t value = -1;
        const auto* end = digits.data() + digits.size();
        const auto parsed = std::from_chars(digits.data(), end, value);
        return parsed.ec == std::errc() && parsed.ptr == end ? value : -1;
    };
    const std::string_view all = text;
    const auto dash = all.find('-');
    const int64_t first = number(all.substr(0, dash));
    const int64_t last = dash == std::string::npos ? first : number(all.substr(dash + 1));
    if (first < 0 || last < first) {
        throw UsageError("--segments", "'" + text + "' is no range of segments",
                         "write e.g. 0-3; --dry-run lists them");
    }
    return std::pair(first, last);
}

/// Everything one run needs, so that its steps are functions of few arguments.
struct Stylizing {
    const StylizeOptions& options;
    const Plan& plan;
    const Context& context;
    ProgressPrinter& printer;

    RunOptions run_options() const {
        return {.out = options.out,
                .overwrite = options.overwrite,
                .restart = options.restart,
                .keep_work = options.keep_work,
                .segments = parse_segments(options.segments),
                .stop = context.stop,
                .on_progress = [&to = printer](const RunProgress& now) { to.show(now); },
                .on_note = [&to = printer](const std::string& text) { to.note(text); }};
    }

    ClipSource source() const {
        return {options.in, read_options(options, plan, context), parse_rate(plan.fps), mask()};
    }

    MaskSource mask() const {
        return {.path = plan.mask,
                .reading = {.max_pixels = read_options(options, plan, context).max_pixels,
                            .stop = context.stop},
                .feather_px = plan.mask_feather.value_or(0)};
    }
};

/// The analysis and the storyboard, with progress.
ClipWork lay_out_clip(Job& job, const Stylizing& run, StageClock& clock) {
    const StageClock::Lap lap(clock, Stage::analyse);
    const auto start = std::chrono::steady_clock::now();
    return lay_out(job, run.source(), run.context.stop, [&](int64_t frames) {
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
        run.printer.show({.stage = "analyse",
                          .frames_done = frames,
                          .frames_total = job.frames,
                          .elapsed_s = elapsed.count()});
    });
}

/// Whether a clip is worked through in segments; what can be read once, or is a picture, is edited
/// as it comes.
bool in_segments(const Job& job, const Stylizing& run, const StreamInfo& info) {
    if (locate_input(run.options.in).kind == Location::Kind::pipe) {
        if (job.noise.kind->moves) {
            throw UsageError("--noise",
                             "a pipe cannot be read twice, which following its motion needs",
                             "use --noise fixed, or make IN a file");
        }
        return false;
    }
    return needs_analysis(job) || run.options.out.empty() ||
           can_join(run.options.out, info,
                    {.codec = job.plan.codec,
                     .container = job.plan.container.empty() ? "auto" : job.plan.container,
                     .encoder_options = job.plan.encoder_opts,
                     .crf = job.plan.crf});
}

void print_plan(Job& job, const Stylizing& run, const StreamInfo& info) {
    StageClock clock;
    std::string board;
    if (in_segments(job, run, info)) {
        board = describe(lay_out_clip(job, run, clock).board);
    }
    std::fputs((describe(job) + board).c_str(), stdout);
}

/// Says how the frames are made, where the user left it to weft.
void tell_mode(const Job& job, const Stylizing& run) {
    if (run.plan.mode.empty() || run.plan.mode == "auto") {
        run.printer.note("mode " + job.plan.mode + ": " + job.between->help);
    }
}

void stylize_clip(const Stylizing& run, const std::filesystem::path& model) {
    const auto& options = run.options;
    auto source = open_video(options.in, read_options(options, run.plan, run.context));
    const StreamInfo info = source->info();
    auto job = make_job(options, run.plan, info, model);
    if (options.dry_run) {
        print_plan(job, run, info);
        return;
    }
    check_picture(options.out, job);
    Frame first;
    first.time = info.start;
    check_mask(run.mask(), info, first);
    tell_mode(job, run);
    StageClock clock;
    const auto load = [&] {
        return Editor(DiffusionModel::load(model, options.device, model_options(job.plan)), job);
    };
    if (!in_segments(job, run, info)) {
        run.printer.finish(
            weft::run(load(), masked(std::move(source), run.mask()), run.run_options(), clock),
            clock);
        return;
    }
    source.reset();
    const ClipWork work = lay_out_clip(job, run, clock);
    run.printer.finish(run_clip({.job = job,
                                 .work = work,
                                 .model = model,
                                 .placement = choose_placement(options.device),
                                 .load = load},
                                run.run_options(), clock),
                       clock);
    if (!options.segments.empty()) {
        run.printer.note("segments " + options.segments + " of " +
                         std::to_string(work.board.segments.size()) + " are in '" +
                         work_folder_of(options.out).string() +
                         "'; 'weft join' makes OUT of all parts");
    }
}

bool edits_nothing(const Plan& plan) {
    const auto& keys = plan.strength.keys;
    return !keys.empty() &&
           std::all_of(keys.begin(), keys.end(), [](const auto& key) { return key.value <= 0; });
}

/// Strength 0: the source's pixels, encoded; no model and no analysis.
void copy_clip(const Stylizing& run) {
    if (!run.options.segments.empty()) {
        throw UsageError("--segments", "strength 0 edits nothing", "leave --segments out");
    }
    auto source = open_video(run.options.in, read_options(run.options, run.plan, run.context));
    const auto job = resolve(run.plan, source->info(), {}, {.rereadable = true});
    check_picture(run.options.out, job);
    StageClock clock;
    run.printer.finish(run_untouched(job, std::move(source), run.run_options(), clock), clock);
}

void stylize(const StylizeOptions& options, const Context& context) {
    const Plan plan = collect_plan(options);
    check_given(options, plan);
    check_out(options, plan);
    ProgressPrinter printer(*progress_mode_named(options.progress), context.verbosity);
    const Stylizing run{options, plan, context, printer};
    if (edits_nothing(plan) && !options.dry_run && options.save_plan.empty()) {
        copy_clip(run);
    } else {
        stylize_clip(run, locate_model(plan.model, context));
    }
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
    command.add_flag("--restart", options->restart, "ignore what an earlier run left in OUT.weft")
        ->group("Run");
    command.add_flag("--keep-work", options->keep_work, "leave OUT.weft when OUT is whole")
        ->group("Run");
    command
        .add_option("--segments", options->segments,
                    "make these segments only, into OUT.weft, for 'weft join'")
        ->type_name("A-B")
        ->group("Run");
    command.footer([&context] { return model_help(context); });
    command.callback([options, &context] { stylize(*options, context); });
}

}  // namespace weft
