// weft join WORK... -o OUT
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/progress.h"
#include "io/files/error.h"
#include "io/media/output_file.h"
#include "io/media/reader.h"
#include "video/clip.h"
#include "video/plan_file.h"
#include "video/run.h"
#include "video/work_folder.h"

namespace weft {
namespace {

struct JoinOptions {
    std::vector<std::string> parts;
    std::string out;
    std::string source;
    bool overwrite = false;
};

/// The plan that the parts were made from. Files that it names for the model need not be here.
Plan plan_of(const std::filesystem::path& folder) {
    return read_plan(plan_file(folder)).plan;
}

void join(const JoinOptions& options, const Context& context) {
    std::error_code ignored;
    if (!options.overwrite && std::filesystem::exists(options.out, ignored)) {
        throw Error(options.out, "exists already", "give -y to replace it, or another name");
    }
    const std::vector<std::filesystem::path> folders(options.parts.begin(), options.parts.end());
    const WorkNote note = read_work_note(folders.front());
    const Plan plan = plan_of(folders.front());
    const std::filesystem::path in = options.source.empty() ? note.in : options.source;
    if (!std::filesystem::exists(in, ignored)) {
        throw Error(in.string(), "which the parts were made from, is not here",
                    "say where it is with --source");
    }
    const StreamInfo info =
        open_clip({.path = in, .reading = {}, .rate = parse_rate(plan.fps)})->info();
    const auto job = resolve(plan, info, {}, {.rereadable = true});
    ProgressPrinter printer(ProgressMode::automatic, context.verbosity);
    const auto report =
        join_parts(folders, job, info,
                   {.out = options.out, .overwrite = options.overwrite, .stop = context.stop});
    printer.finish(report, StageClock());
}

}  // namespace

void add_join(CLI::App& command, Context& context) {
    auto options = std::make_shared<JoinOptions>();
    command.add_option("WORK", options->parts, "the OUT.weft folders of all parts, in any order")
        ->required()
        ->type_name("");
    command.add_option("-o,--out", options->out, "result, of the kind the parts were made for")
        ->required()
        ->type_name("OUT");
    command
        .add_option("--source", options->source,
                    "the IN of the parts, for its other streams (default: where it was)")
        ->type_name("IN");
    command.add_flag("-y,--overwrite", options->overwrite, "replace an existing OUT");
    command.callback([options, &context] { join(*options, context); });
}

}  // namespace weft
