#include "cli/plan_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "cli/progress.h"
#include "video/plan_file.h"

namespace weft {
namespace {

/// Help without the groups that few need; those are for --help-all.
class ShortHelp : public CLI::Formatter {
  public:
    std::string make_help(const CLI::App* app, std::string name,
                          CLI::AppFormatMode mode) const override {
        return make_description(app) + make_usage(app, std::move(name)) + make_positionals(app) +
               groups(app, mode) + '\n' + make_footer(app);
    }

  private:
    std::string groups(const CLI::App* app, CLI::AppFormatMode mode) const {
        std::string text;
        for (const std::string& group : app->get_groups()) {
            const auto options = app->get_options([&](const CLI::Option* option) {
                return option->get_group() == group && option->nonpositional();
            });
            const bool shown = !group.ends_with(", rare") || mode == CLI::AppFormatMode::All;
            if (shown && !group.empty() && !options.empty()) {
                text += make_group(group, false, options);
            }
        }
        return text;
    }
};

std::string option_name(const PlanField& field) {
    std::string name = field.key;
    std::replace(name.begin(), name.end(), '_', '-');
    return "--" + name;
}

void add_field(CLI::App& command, const PlanField& field,
               const std::shared_ptr<PlanOptions>& options) {
    const auto name = option_name(field);
    const auto set = [&field, name, options](const std::string& text) {
        const auto problem = assign_text(field, options->given, text);
        if (!problem.empty()) {
            options->problems.push_back(name + ": " + problem);
        }
    };
    if (std::holds_alternative<std::vector<std::string> Plan::*>(field.member)) {
        command
            .add_option_function<std::vector<std::string>>(
                name,
                [set](const std::vector<std::string>& texts) {
                    std::for_each(texts.begin(), texts.end(), set);
                },
                field.help)
            ->type_name(field.value)
            ->group(field.group)
            ->type_size(1)
            ->allow_extra_args(false);
        return;
    }
    command
        .add_option_function<std::string>(name == "--prompt" ? "-p,--prompt" : name, set,
                                          field.help)
        ->type_name(field.value)
        ->group(field.group);
}

/// 0 stands for "not given" and so passes.
void check_count(const char* option, int64_t value, int64_t most, Problems& problems) {
    if (value < 0 || value > most) {
        problems.push_back(std::string(option) + ": must be from 1 to " + std::to_string(most) +
                           ", not " + std::to_string(value));
    }
}

void add_machine_options(CLI::App& command, const std::shared_ptr<PlanOptions>& options) {
    const char* group = "Machine";
    const char* rare = "Machine, rare";
    command
        .add_option("--device", options->device.device, "auto, cpu, cuda, cuda:N (default: auto)")
        ->type_name("NAME")
        ->group(group);
    command.add_option("--dtype", options->device.dtype, "auto, f32, bf16, f16 (default: auto)")
        ->type_name("NAME")
        ->group(group);
    command.add_option("--threads", options->threads, "1 .. 1024 (default: all cores)")
        ->type_name("N")
        ->group(group);
    command
        .add_option("--max-pixels", options->max_pixels,
                    "largest source frame, w*h, 1 .. 2^30 (default: 64000000)")
        ->type_name("N")
        ->group(rare);
    command
        .add_option("--batch", options->batch,
                    "frames edited together, 1 .. 64 (default: 1, GPU 4)")
        ->type_name("N")
        ->group(group);
}

void add_run_options(CLI::App& command, const std::shared_ptr<PlanOptions>& options) {
    const char* group = "Run";
    command.add_option("--plan", options->plan_file, "read a plan; options override it")
        ->type_name("FILE.toml")
        ->group(group);
    command.add_option("--save-plan", options->save_plan, "write the plan that runs")
        ->type_name("FILE.toml")
        ->group(group);
    command.add_flag("--dry-run", options->dry_run, "print the resolved plan and stop")
        ->group(group);
    command.add_flag("-y,--overwrite", options->overwrite, "replace an existing OUT")->group(group);
    command
        .add_flag("--keep-going", options->keep_going,
                  "save what decodes of a damaged IN, count what is lost")
        ->group("Run, rare");
    command
        .add_option("--progress", options->progress, "auto, bar, plain, json, none (default: auto)")
        ->type_name("KIND")
        ->group(group);
}

}  // namespace

void add_plan_options(CLI::App& command, const std::shared_ptr<PlanOptions>& options,
                      const std::vector<std::string>& left_out) {
    command.formatter(std::make_shared<ShortHelp>());
    command.get_formatter()->column_width(26);
    command.set_help_all_flag("--help-all", "Print the rare options too");
    for (const PlanField& field : plan_fields()) {
        if (std::find(left_out.begin(), left_out.end(), field.key) == left_out.end()) {
            add_field(command, field, options);
        }
    }
    add_machine_options(command, options);
    add_run_options(command, options);
}

Plan collect_plan(const PlanOptions& options) {
    PlanReading reading;
    if (!options.plan_file.empty()) {
        reading = read_plan(options.plan_file);
    }
    auto problems = reading.problems;
    problems.insert(problems.end(), options.problems.begin(), options.problems.end());
    if (!progress_mode_named(options.progress)) {
        problems.push_back("--progress: unknown value '" + options.progress +
                           "'; known: auto, bar, plain, json, none");
    }
    check_count("--threads", options.threads, 1024, problems);
    check_count("--batch", options.batch, 64, problems);
    check_count("--max-pixels", options.max_pixels, int64_t{1} << 30, problems);
    throw_problems(problems);
    overlay(reading.plan, options.given);
    return reading.plan;
}

ReadOptions read_options(const PlanOptions& options, const Plan& plan, const Context& context) {
    ReadOptions reading;
    if (!plan.from.empty()) {
        reading.from = Position::parse(plan.from, "--from");
    }
    if (!plan.to.empty()) {
        reading.to = Position::parse(plan.to, "--to");
    }
    reading.damage = options.keep_going ? Damage::skip : Damage::refuse;
    if (options.max_pixels > 0) {
        reading.max_pixels = options.max_pixels;
    }
    reading.sequence_rate = parse_rate(plan.fps).value_or(reading.sequence_rate);
    reading.keep_streams = true;
    reading.stop = context.stop;
    return reading;
}

Placement set_up_device(const PlanOptions& options) {
    set_threads(options.threads);
    return choose_placement(options.device);
}

}  // namespace weft
