// weft measure SOURCE EDITED...
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>

#include "cli/command.h"
#include "cli/report.h"
#include "diffusion/device.h"
#include "io/files/error.h"
#include "io/media/prefetch.h"
#include "io/media/reader.h"
#include "temporal/flow_estimator.h"
#include "video/mask.h"
#include "video/measure.h"
#include "video/measure_page.h"

namespace weft {
namespace {

struct Options {
    std::string source;
    std::vector<std::string> edited;
    std::string from;
    std::string to;
    std::string mask;
    std::string estimator = "dis";
    int64_t longer_side = 512;
    int64_t drift_frames = 16;
    int64_t threads = 0;
    std::string clip;
    std::string prompt;
    std::string report;
    bool json = false;
};

std::string estimator_names() {
    std::string names;
    for (const FlowEstimatorEntry& entry : flow_estimators()) {
        if (!entry.needs_weights) {
            names += (names.empty() ? "" : ", ") + std::string(entry.name);
        }
    }
    return names;
}

std::unique_ptr<FrameSource> open(const std::string& path, const ReadOptions& part) {
    return prefetch(open_video(path, part), 2);
}

NamedSource open_source(const Options& options) {
    ReadOptions part;
    if (!options.from.empty()) {
        part.from = Position::parse(options.from, "--from");
    }
    if (!options.to.empty()) {
        part.to = Position::parse(options.to, "--to");
    }
    return {"source",
            prefetch(masked(open_video(options.source, part), {.path = options.mask}), 2)};
}

/// Names of the edits: their file names, with the folder where two are alike.
std::vector<NamedSource> open_edited(const Options& options) {
    std::vector<NamedSource> opened;
    for (const std::string& path : options.edited) {
        auto name = std::filesystem::path(path).filename().string();
        for (const std::string& other : options.edited) {
            if (other != path && std::filesystem::path(other).filename() == name) {
                name = path;
                break;
            }
        }
        opened.push_back({name, open(path, {})});
    }
    return opened;
}

Report optional_report(const std::optional<double>& value) {
    return value ? Report(*value) : Report(nullptr);
}

Report clip_report(const std::optional<ClipScores>& scores) {
    if (!scores) {
        return nullptr;
    }
    return {{"text", scores->text},
            {"all_pairs", scores->all_pairs},
            {"neighbours", scores->neighbours},
            {"pooled", scores->pooled}};
}

Report summary_report(const ClipSummary& summary) {
    return {{"warp_error", summary.warp_error},
            {"warp_ratio", optional_report(summary.warp_ratio)},
            {"valid_share", summary.valid_share},
            {"worst_error", summary.worst_error},
            {"worst_frame", summary.worst_frame},
            {"drift_error", summary.drift_error},
            {"drift_ratio", optional_report(summary.drift_ratio)},
            {"drift_valid_share", summary.drift_valid_share},
            {"flicker", summary.flicker},
            {"luma_flicker", summary.luma_flicker},
            {"end_point_error", summary.end_point_error},
            {"strength", summary.strength},
            {"outside", optional_report(summary.outside)},
            {"clip", clip_report(summary.clip)}};
}

Report integrity_report(const Integrity& integrity) {
    return {{"frames", integrity.frames},
            {"same_frames", integrity.same_frames},
            {"same_size", integrity.same_size},
            {"same_color", integrity.same_color},
            {"same_side_streams", integrity.same_side_streams},
            {"largest_shift_s", integrity.largest_shift_s}};
}

/// One list for each figure, a number a frame.
Report frames_report(const std::vector<FrameFigures>& frames) {
    Report report;
    for (const FrameFigures& frame : frames) {
        report["frame"].push_back(frame.frame);
        report["time_s"].push_back(frame.time_s);
        report["valid_share"].push_back(frame.valid_share);
        report["warp_error"].push_back(frame.warp_error);
        report["flicker"].push_back(frame.flicker);
        report["luma"].push_back(frame.luma);
        report["end_point_error"].push_back(frame.end_point_error);
        report["strength"].push_back(frame.strength);
    }
    return report;
}

Report measurement_report(const Measurement& measurement) {
    Report report{
        {"width", measurement.width}, {"height", measurement.height}, {"cuts", measurement.cuts}};
    for (const ClipFigures& clip : measurement.clips) {
        Report entry{{"name", clip.name}};
        entry["summary"] = summary_report(clip.summary);
        entry["integrity"] = integrity_report(clip.integrity);
        entry["frames"] = frames_report(clip.frames);
        report["clips"].push_back(entry);
    }
    return report;
}

/// A mean square in [0, 1] as its root on the scale of 8 bits.
double levels(double mean_square) {
    return 255 * std::sqrt(mean_square);
}

void print_ratio(const std::optional<double>& ratio) {
    if (ratio) {
        std::printf("  %6.2f", *ratio);
    } else {
        std::printf("  %6s", "-");
    }
}

void print_table(const Measurement& measurement) {
    std::printf("%-24s  %6s  %6s  %6s  %6s  %6s  %7s  %6s  %8s  %7s  %s\n", "", "warp", "ratio",
                "valid", "drift", "ratio", "flicker", "luma", "motion", "strength", "outside");
    for (const ClipFigures& clip : measurement.clips) {
        const ClipSummary& sum = clip.summary;
        std::printf("%-24s  %6.2f", clip.name.c_str(), levels(sum.warp_error));
        print_ratio(sum.warp_ratio);
        std::printf("  %6.3f  %6.2f", sum.valid_share, levels(sum.drift_error));
        print_ratio(sum.drift_ratio);
        std::printf("  %7.2f  %6.2f  %6.2fpx  %8.2f", 255 * sum.flicker, 255 * sum.luma_flicker,
                    sum.end_point_error, 255 * sum.strength);
        std::printf("  %s\n", sum.outside ? std::to_string(255 * *sum.outside).c_str() : "-");
    }
}

void print_clip(const Measurement& measurement) {
    for (const ClipFigures& clip : measurement.clips) {
        if (const auto& scores = clip.summary.clip) {
            std::printf("%-24s  CLIP-T %.4f  CLIP-F %.4f all pairs, %.4f neighbours, %.4f pooled\n",
                        clip.name.c_str(), scores->text, scores->all_pairs, scores->neighbours,
                        scores->pooled);
        }
    }
}

/// What is not as in the source, one line each.
void print_integrity(const Measurement& measurement) {
    for (size_t i = 1; i < measurement.clips.size(); ++i) {
        const ClipFigures& clip = measurement.clips[i];
        const Integrity& whole = clip.integrity;
        const auto tell = [&](bool same, const char* what) {
            if (!same) {
                std::printf("%s: %s\n", clip.name.c_str(), what);
            }
        };
        tell(whole.same_frames, "has another number of frames");
        tell(whole.same_size, "has another size");
        tell(whole.same_color, "has other colour tags");
        tell(whole.same_side_streams, "has other streams beside the picture");
        constexpr double tick_s = 0.0015;  // times in milliseconds, as in mkv, round by half of one
        tell(whole.largest_shift_s < tick_s, "shows frames at other times");
    }
}

void run_measure(const Options& options, const Context& context) {
    set_threads(options.threads);
    if (options.clip.empty() != options.prompt.empty()) {
        throw UsageError("", "--clip and --prompt belong together", "give both or none");
    }
    const auto clip = options.clip.empty() ? nullptr : std::make_unique<ClipScorer>(options.clip);
    Gallery gallery;
    MeasureOptions measuring{.longer_side = options.longer_side,
                             .estimator = options.estimator,
                             .drift_frames = options.drift_frames,
                             .clip = clip.get(),
                             .prompt = options.prompt,
                             .stop = context.stop};
    if (!options.report.empty()) {
        measuring.on_pair = [&](const MeasuredPair& pair) { gallery.see(pair); };
    }
    const auto measurement = measure(open_source(options), open_edited(options), measuring);
    if (options.json) {
        print_report(measurement_report(measurement), ReportStyle::json);
    } else {
        print_table(measurement);
        print_clip(measurement);
        print_integrity(measurement);
    }
    if (!options.report.empty()) {
        write_measure_page(options.report, measurement, gallery);
    }
}

}  // namespace

void add_measure(CLI::App& command, Context& context) {
    auto options = std::make_shared<Options>();
    command.add_option("SOURCE", options->source, "the clip that was edited")
        ->required()
        ->type_name("");
    command.add_option("EDITED", options->edited, "one edit of it or more, measured side by side")
        ->required()
        ->type_name("");
    command.add_option("--from", options->from, "part of the source the edits show: its begin")
        ->type_name("T");
    command.add_option("--to", options->to, "its end, not included")->type_name("T");
    command
        .add_option("--mask", options->mask,
                    "picture, clip or sequence, black where nothing may change")
        ->type_name("FILE");
    command.add_option("--flow", options->estimator, estimator_names() + " (default: dis)")
        ->type_name("NAME");
    command
        .add_option("--longer-side", options->longer_side,
                    "of the measuring grid, 64 .. 4096 (default: 512)")
        ->type_name("PX")
        ->check(CLI::Range(64, 4096));
    command
        .add_option("--drift-frames", options->drift_frames,
                    "frames between those compared for drift, 2 .. 1000 (default: 16)")
        ->type_name("N")
        ->check(CLI::Range(2, 1000));
    command
        .add_option("--clip", options->clip,
                    "folder of a CLIP model as transformers saves it: also CLIP-T and CLIP-F")
        ->type_name("DIR");
    command.add_option("-p,--prompt", options->prompt, "the edit's prompt, for --clip")
        ->type_name("TEXT");
    command.add_option("--threads", options->threads, "1 .. 1024 (default: all cores)")
        ->type_name("N");
    command.add_option("--report", options->report, "write a page with plots and the worst frames")
        ->type_name("PAGE.html");
    command.add_flag("--json", options->json, "print JSON with the figures of every frame");
    command.footer(
        "Figures are root mean squares or means from 0 to 255 (JSON: 0 to 1, not rooted), motion "
        "in "
        "pixels of\nthe measuring grid; ratios compare mean squares with the identity edit's. "
        "video/README.md explains them.");
    command.callback([options, &context] { run_measure(*options, context); });
}

}  // namespace weft
