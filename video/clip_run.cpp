#include <c10/util/StringUtil.h>

#include <algorithm>
#include <map>
#include <utility>

#include "io/files/error.h"
#include "io/media/segments.h"
#include "video/digests.h"
#include "video/plan_file.h"
#include "video/run.h"
#include "video/run_parts.h"
#include "video/work_folder.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

Time end_of(const ClipFrame& frame) {
    return frame.time + frame.duration;
}

WriteOptions writing_of(const ClipRun& run, const StreamInfo& info, bool overwrite) {
    const auto& list = run.work.analysis->list();
    return write_options(run.job, info, list.front().time, end_of(list.back()), overwrite);
}

StreamInfo written_info(const ClipRun& run) {
    const StreamInfo info = open_clip(run.work.source)->info();
    return FrameView(run.job, info).written(info);
}

/// All segments straight into OUT.
RunReport render_straight(const ClipRun& run, const RunOptions& options, StageClock& clock) {
    if (options.segments) {
        throw UsageError("--segments", "this kind of OUT is made in one go",
                         "name a video file such as .mp4, .mov or .mkv");
    }
    const Editor editor = run.load();
    ProgressTeller progress(run.job, options,
                            c10::str("'", options.out.string(), "' was not written"));
    SegmentRenderer renderer(editor, run.work, progress.watch(clock),
                             [&](int64_t count) { progress.frames(count); });
    const StreamInfo info = written_info(run);
    const auto sink = behind(
        create_video(options.out, info, writing_of(run, info, options.overwrite)), run.job, clock);
    for (const Segment& segment : run.work.board.segments) {
        renderer.render(segment, *sink);
    }
    sink->finish();
    RunReport report{.frames = run.work.board.frames, .elapsed_s = progress.elapsed_s()};
    append(report.warnings, editor.model().notes());
    append(report.warnings, renderer.warnings());
    append(report.warnings, sink->warnings());
    return report;
}

/// Refuses segments that the clip does not have.
void check_segments(const RunOptions& options, const Storyboard& board) {
    const auto count = static_cast<int64_t>(board.segments.size());
    if (options.segments &&
        (options.segments->first > options.segments->second || options.segments->second >= count)) {
        throw UsageError("--segments",
                         c10::str(options.segments->first, "-", options.segments->second,
                                  " is no part of this clip's segments"),
                         c10::str("it has 0-", count - 1, "; --dry-run lists them"));
    }
}

/// A run that keeps its segments in a work folder.
class SegmentedRun {
  public:
    SegmentedRun(const ClipRun& run, const RunOptions& options, StageClock& clock,
                 const StreamInfo& info)
        : run_(run),
          options_(options),
          clock_(clock),
          info_(info),
          writing_(writing_of(run, info, options.overwrite)),
          folder_(work_folder_of(options.out),
                  options.restart ? WorkFolder::Earlier::discard : WorkFolder::Earlier::keep),
          digests_(segment_digests(run.job, run.work,
                                   {.model = run.model,
                                    .placement = run.placement,
                                    .out = options.out,
                                    .info = info_,
                                    .writing = writing_})),
          progress_(run.job, options,
                    c10::str("segments that are finished are kept in '", folder_.path().string(),
                             "'; the same command goes on from there")) {}

    RunReport go() {
        const auto missing = look_around();
        folder_.describe({.in = fs::absolute(run_.work.source.path).string(),
                          .out = options_.out.string(),
                          .segments = static_cast<int64_t>(digests_.size()),
                          .digest = digest_of_all(digests_),
                          .from = writing_.from,
                          .to = writing_.to},
                         to_toml(run_.job.plan));
        render(missing);
        RunReport report{.frames = chosen_frames(), .elapsed_s = 0, .warnings = warnings_};
        if (!options_.segments) {
            join(report);
        }
        report.elapsed_s = progress_.elapsed_s();
        return report;
    }

  private:
    bool is_chosen(const Segment& segment) const {
        return !options_.segments || (segment.number >= options_.segments->first &&
                                      segment.number <= options_.segments->second);
    }

    int64_t chosen_frames() const {
        int64_t frames = 0;
        for (const Segment& segment : run_.work.board.segments) {
            frames += is_chosen(segment) ? segment.frames() : 0;
        }
        return frames;
    }

    /// Finds out which of the chosen segments are still to be made; removes what does not fit.
    std::vector<const Segment*> look_around() {
        std::vector<const Segment*> missing;
        std::vector<int64_t> kept;
        std::vector<int64_t> unfit;
        for (const Segment& segment : run_.work.board.segments) {
            const auto file = folder_.segment(segment.number);
            const auto found = segment_digest(file);
            const bool fits = found == digests_[static_cast<size_t>(segment.number)];
            std::error_code ignored;
            if (!fits && fs::remove(file, ignored)) {
                unfit.push_back(segment.number);
            }
            if (fits && is_chosen(segment)) {
                kept.push_back(segment.number);
                progress_.kept(segment.frames());
            } else if (is_chosen(segment)) {
                missing.push_back(&segment);
            }
        }
        if (!kept.empty()) {
            note(c10::str("segments ", ranges(kept), " are there from an earlier run"));
        }
        if (!unfit.empty()) {
            note(c10::str("segments ", ranges(unfit),
                          " of an earlier run were made from something else and are made again"));
        }
        return missing;
    }

    void note(const std::string& text) const {
        if (options_.on_note) {
            options_.on_note(text);
        }
    }

    void render(const std::vector<const Segment*>& missing) {
        if (missing.empty()) {
            return;
        }
        const Editor editor = run_.load();
        SegmentRenderer renderer(editor, run_.work, progress_.watch(clock_),
                                 [&](int64_t count) { progress_.frames(count); });
        for (const Segment* segment : missing) {
            progress_.pause("decode");
            const auto sink =
                behind(create_segment(folder_.segment(segment->number), options_.out, info_,
                                      writing_, digests_[static_cast<size_t>(segment->number)]),
                       run_.job, clock_);
            renderer.render(*segment, *sink);
            sink->finish();
        }
        append(warnings_, editor.model().notes());
        append(warnings_, renderer.warnings());
    }

    void join(RunReport& report) {
        progress_.pause("join");
        std::vector<fs::path> files;
        for (const Segment& segment : run_.work.board.segments) {
            files.push_back(folder_.segment(segment.number));
        }
        const StageClock::Lap lap(clock_, Stage::encode_video);
        append(report.warnings, join_segments(options_.out, info_, writing_, files, options_.stop));
        if (!options_.keep_work) {
            folder_.remove();
        }
    }

    const ClipRun& run_;
    const RunOptions& options_;
    StageClock& clock_;
    StreamInfo info_;
    WriteOptions writing_;
    WorkFolder folder_;
    std::vector<std::string> digests_;  // by segment
    ProgressTeller progress_;
    std::vector<std::string> warnings_;
};

/// The files of all segments, found in the folders.
std::vector<fs::path> collect(const std::vector<fs::path>& folders, const WorkNote& first,
                              const fs::path& out) {
    std::map<int64_t, fs::path> files;
    for (const fs::path& folder : folders) {
        const WorkNote note = read_work_note(folder);
        if (note.digest != first.digest || note.segments != first.segments) {
            throw Error(folder.string(),
                        c10::str("is part of another edit than '", folders.front().string(), "'"),
                        "render all parts with the same plan, program, model and IN");
        }
        for (const int64_t number : segments_in(folder)) {
            files.emplace(number, segment_file(folder, number));
        }
    }
    std::vector<fs::path> all;
    std::vector<int64_t> missing;
    for (int64_t number = 0; number < first.segments; ++number) {
        const auto found = files.find(number);
        if (found == files.end()) {
            missing.push_back(number);
        } else {
            all.push_back(found->second);
        }
    }
    if (!missing.empty()) {
        throw Error(out.string(),
                    c10::str("segments ", ranges(missing), " of ", first.segments, " are missing"),
                    c10::str("render them with --segments ", missing.front(), "-", missing.back()));
    }
    return all;
}

}  // namespace

RunReport run_clip(const ClipRun& run, const RunOptions& options, StageClock& clock) {
    check_segments(options, run.work.board);
    const StreamInfo info = written_info(run);
    if (!can_join(options.out, info, writing_of(run, info, options.overwrite))) {
        return render_straight(run, options, clock);
    }
    return SegmentedRun(run, options, clock, info).go();
}

RunReport join_parts(const std::vector<fs::path>& folders, const Job& job, const StreamInfo& info,
                     const RunOptions& options) {
    const auto started = std::chrono::steady_clock::now();
    const WorkNote first = read_work_note(folders.front());
    const auto files = collect(folders, first, options.out);
    const StreamInfo written = FrameView(job, info).written(info);
    auto writing = write_options(job, info, Time(), std::nullopt, options.overwrite);
    writing.from = first.from;
    writing.to = first.to;
    RunReport report{.frames = job.frames, .elapsed_s = 0};
    report.warnings = join_segments(options.out, written, writing, files, options.stop);
    const auto elapsed = std::chrono::steady_clock::now() - started;
    report.elapsed_s = std::chrono::duration<double>(elapsed).count();
    return report;
}

}  // namespace weft
