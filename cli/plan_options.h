#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "diffusion/device.h"
#include "io/media/reader.h"
#include "video/job.h"
#include "video/plan.h"

namespace weft {

/// What every editing command takes beside its inputs and output.
struct PlanOptions {
    Plan given;         // fields given as options
    Problems problems;  // of those options
    std::string plan_file;
    std::string save_plan;
    bool dry_run = false;
    bool overwrite = false;
    bool keep_going = false;
    int64_t max_pixels = 0;  // w*h of a source frame; 0: not given
    std::string progress = "auto";
    DeviceChoice device;
    int64_t threads = 0;
    int64_t batch = 0;  // 0: not given
};

/// Adds the options of plan_fields(), but for `left_out` keys, and the common ones, in groups.
void add_plan_options(CLI::App& command, const std::shared_ptr<PlanOptions>& options,
                      const std::vector<std::string>& left_out = {});

/// The plan file, where one is given, with the options on top. Throws one UsageError with
/// everything that is wrong with either.
Plan collect_plan(const PlanOptions& options);

/// How the source is to be read: --from, --to and --fps of the plan, --keep-going, --max-pixels.
ReadOptions read_options(const PlanOptions& options, const Plan& plan, const Context& context);

/// Applies --threads and resolves --device and --dtype.
Placement set_up_device(const PlanOptions& options);

}  // namespace weft
