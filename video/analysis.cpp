#include "video/analysis.h"

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <mutex>

#include "io/files/error.h"
#include "io/files/safetensors.h"
#include "io/media/location.h"
#include "temporal/at_once.h"
#include "temporal/flow_estimator.h"
#include "temporal/shots.h"
#include "temporal/steady_flow.h"
#include "video/analysis_store.h"
#include "video/resample.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr uintmax_t cache_bytes = 8'000'000'000;
// In the key, so that a new layout or method never meets old files.
constexpr int layout_version = 3;

/// A working size with the given longer side, never larger than the source.
Size analysis_size(const torch::Tensor& picture, int64_t longer_side) {
    const auto height = picture.size(1);
    const auto width = picture.size(2);
    const double scale = std::min(
        1.0, static_cast<double>(longer_side) / static_cast<double>(std::max(height, width)));
    const auto scaled = [&](int64_t side) {
        return std::max<int64_t>(2, std::llround(static_cast<double>(side) * scale));
    };
    return {scaled(width), scaled(height)};
}

FlowField halved(const FlowField& flow) {
    return resized(flow, (flow.height() + 1) / 2, (flow.width() + 1) / 2);
}

/// Motion between neighbours as it is kept.
FlowPair motion_between(const FlowEstimator& estimator, const torch::Tensor& now,
                        const torch::Tensor& before, const FlowChecks& checks) {
    const auto evidence = steadied(estimate_both_ways(estimator, now, before));
    FlowPair motion;
    at_once(2, [&](int64_t way) {
        if (way == 0) {
            motion.backward = halved(checked_flow(evidence, checks));
        } else {
            motion.forward = halved(checked_forward_flow(evidence, checks));
        }
    });
    return motion;
}

/// A folder that is renamed into place when it is whole and removed otherwise.
class PendingFolder {
  public:
    explicit PendingFolder(fs::path target)
        : target_(std::move(target)), part_(c10::str(target_.string(), ".part-", getpid())) {
        std::error_code failed;
        fs::create_directories(part_, failed);
        if (failed) {
            throw Error(part_.string(), c10::str("cannot be made: ", failed.message()),
                        "set XDG_CACHE_HOME to a folder that can be written");
        }
    }

    PendingFolder(const PendingFolder&) = delete;
    PendingFolder& operator=(const PendingFolder&) = delete;

    ~PendingFolder() {
        std::error_code ignored;
        fs::remove_all(part_, ignored);
    }

    const fs::path& path() const { return part_; }

    /// Another run may have been faster; its result is the same.
    void commit() {
        std::error_code taken;
        fs::rename(part_, target_, taken);
    }

  private:
    fs::path target_;
    fs::path part_;
};

std::vector<int64_t> numbers(const torch::Tensor& tensor) {
    const auto values = tensor.to(torch::kInt64).contiguous();
    return {values.data_ptr<int64_t>(), values.data_ptr<int64_t>() + values.numel()};
}

/// Reads, estimates and writes frame by frame.
void analyse_into(const fs::path& folder, FrameSource& source, const AnalysisOptions& options) {
    const auto estimator = make_flow_estimator(options.estimator);
    AnalysisWriter writer(folder);
    CutDetector detector;
    std::vector<ClipFrame> frames;
    torch::Tensor before;
    while (auto frame = source.next()) {
        if (options.stop != nullptr && options.stop->load()) {
            throw Interrupted("the analysis was not finished");
        }
        const auto picture = frame->pixels.slice(0, 0, 3).clamp(0, 1);
        const auto now = resized(picture.unsqueeze(0), analysis_size(picture, options.longer_side));
        detector.put(now[0]);
        frames.push_back({frame->index, frame->time, frame->duration});
        if (options.motion) {
            writer.put(
                motion_between(*estimator, now, before.defined() ? before : now, options.checks));
        }
        before = now;
        if (options.on_frame) {
            options.on_frame(static_cast<int64_t>(frames.size()));
        }
    }
    if (frames.empty()) {
        throw Error(source.info().path.string(), "has no frame in the chosen part",
                    "check --from and --to");
    }
    std::vector<int64_t> shots{frames.front().index};
    for (const int64_t cut : detector.finish()) {
        shots.push_back(frames.at(cut).index);
    }
    writer.finish(frames, shots);
}

std::string settings_text(const AnalysisOptions& options) {
    const FlowChecks& checks = options.checks;
    return c10::str("analysis ", layout_version, " ", options.longer_side, " ", options.estimator,
                    " ", checks.consistency_ratio, " ", checks.consistency_px2, " ",
                    checks.boundary_ratio, " ", checks.boundary_px2, " ", checks.photometric,
                    options.motion ? " " : " still ", options.reading);
}

}  // namespace

struct ClipAnalysis::Store {
    fs::path folder;
    std::vector<ClipFrame> frames;
    std::vector<int64_t> shots;
    torch::Tensor valid_share;  // [frames] f32
    std::mutex mutex;
    std::string open_name;  // of `open`
    std::unique_ptr<SafeTensors> open;

    std::optional<int64_t> find(int64_t frame) const {
        const auto found = std::lower_bound(
            frames.begin(), frames.end(), frame,
            [](const ClipFrame& entry, int64_t wanted) { return entry.index < wanted; });
        return found != frames.end() && found->index == frame
                   ? std::optional<int64_t>(found - frames.begin())
                   : std::nullopt;
    }

    int64_t row_of(int64_t frame) const {
        const auto found = find(frame);
        TORCH_CHECK(found, "frame ", frame, " was not analysed");
        return *found;
    }

    /// The file of a row; the last one stays mapped.
    const SafeTensors& file_of(int64_t row) {
        auto name = motion_file(row);
        if (name != open_name) {
            open = std::make_unique<SafeTensors>(folder / name);
            open_name = std::move(name);
        }
        return *open;
    }

    FlowField flow(const SafeTensors& file, const std::string& way, int64_t row) const {
        const auto place = row % motion_rows_per_file;
        const auto offsets = file.tensor(way);
        const auto valid = file.tensor(way + "_valid");
        if (offsets.dim() != 4 || offsets.size(0) <= place || offsets.size(1) != 2 ||
            valid.dim() != 4 || valid.size(0) != offsets.size(0)) {
            throw Error(file.path().string(), "is no motion of this clip", "delete the folder");
        }
        return {offsets.narrow(0, place, 1).to(torch::kFloat32), valid.narrow(0, place, 1) != 0};
    }
};

ClipAnalysis::ClipAnalysis(const fs::path& folder) : store_(std::make_unique<Store>()) {
    const SafeTensors found(folder / "index.safetensors");
    store_->folder = folder;
    store_->frames = clip_frames(found.tensor("frames"), folder);
    store_->shots = numbers(found.tensor("shots"));
    store_->valid_share = found.tensor("valid_share").to(torch::kFloat32).clone();
    if (store_->shots.empty() || store_->shots.front() != store_->frames.front().index ||
        !std::is_sorted(store_->shots.begin(), store_->shots.end()) ||
        store_->valid_share.numel() != frames()) {
        throw Error(folder.string(), "is no analysis of a clip", "delete the folder");
    }
}

ClipAnalysis::~ClipAnalysis() = default;

int64_t ClipAnalysis::frames() const {
    return static_cast<int64_t>(store_->frames.size());
}

const std::vector<ClipFrame>& ClipAnalysis::list() const {
    return store_->frames;
}

std::optional<int64_t> ClipAnalysis::place_of(int64_t frame) const {
    return store_->find(frame);
}

const std::vector<int64_t>& ClipAnalysis::shots() const {
    return store_->shots;
}

int64_t ClipAnalysis::shot_start(int64_t frame) const {
    const auto after = std::upper_bound(store_->shots.begin(), store_->shots.end(), frame);
    TORCH_CHECK(after != store_->shots.begin(), "frame ", frame, " was not analysed");
    return *(after - 1);
}

FlowPair ClipAnalysis::motion_into(int64_t frame) const {
    const std::lock_guard lock(store_->mutex);
    const int64_t row = store_->row_of(frame);
    TORCH_CHECK(row > 0, "nothing moves into the clip's first frame");
    const SafeTensors& file = store_->file_of(row);
    return {store_->flow(file, "backward", row), store_->flow(file, "forward", row)};
}

double ClipAnalysis::valid_share(int64_t frame) const {
    return store_->valid_share[store_->row_of(frame)].item<double>();
}

fs::path analysis_cache() {
    const char* cache = std::getenv("XDG_CACHE_HOME");  // NOLINT(concurrency-mt-unsafe)
    if (cache != nullptr && *cache != '\0') {
        return fs::path(cache) / "weft" / "analysis";
    }
    const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe)
    return fs::path(home != nullptr ? home : ".") / ".cache" / "weft" / "analysis";
}

std::string source_key(const fs::path& path, const std::string& settings) {
    const Location place = locate_input(path);
    TORCH_CHECK(place.kind != Location::Kind::pipe, "a pipe cannot be analysed and edited");
    if (place.kind == Location::Kind::file) {
        return content_key(path, settings);
    }
    std::string text = settings;
    for (const auto& [number, file] : place.pattern.files()) {
        text += c10::str("\n", file.string(), " ", fs::file_size(file), " ",
                         fs::last_write_time(file).time_since_epoch().count());
    }
    return content_key({}, text);
}

std::shared_ptr<const ClipAnalysis> analyse(std::unique_ptr<FrameSource> source,
                                            const AnalysisOptions& options) {
    const fs::path cache = options.cache.empty() ? analysis_cache() : options.cache;
    const fs::path folder = cache / source_key(source->info().path, settings_text(options));
    std::error_code ignored;
    if (!fs::exists(folder / "index.safetensors", ignored)) {
        PendingFolder pending(folder);
        analyse_into(pending.path(), *source, options);
        pending.commit();
        trim_cache(cache, cache_bytes);
    }
    fs::last_write_time(folder, fs::file_time_type::clock::now(), ignored);
    return std::make_shared<const ClipAnalysis>(folder);
}

JobMotion::JobMotion(std::shared_ptr<const ClipAnalysis> analysis, const Fit& fit)
    : analysis_(std::move(analysis)), fit_(fit) {}

int64_t JobMotion::shot_start(int64_t frame) const {
    return analysis_->shot_start(frame);
}

FlowPair JobMotion::into(int64_t frame, int64_t height, int64_t width) const {
    if (!analysis_->place_of(frame)) {  // a number that the clip leaves out: nothing moves
        return {identity_flow(1, height, width), identity_flow(1, height, width)};
    }
    const auto motion = analysis_->motion_into(frame);
    const auto grown = [](int64_t side, int64_t whole, int64_t part) {
        return std::llround(static_cast<double>(side * whole) / static_cast<double>(part)) - side;
    };
    // Noise follows the flow wherever it leads: what is hidden in the frame before shares a piece
    // of what it is taken for, which is as white as fresh noise and does not flicker.
    const auto fitted = [&](const FlowField& flow) {
        const std::array<int64_t, 4> margin{
            0, grown(flow.width(), fit_.padded.width, fit_.content.width), 0,
            grown(flow.height(), fit_.padded.height, fit_.content.height)};
        const auto offset = at::replication_pad2d(flow.offset, margin);
        const auto whole = resized(FlowField{offset, in_bounds(offset)}, height, width).offset;
        return FlowField{whole, in_bounds(whole)};
    };
    return {fitted(motion.backward), fitted(motion.forward)};
}

int64_t StillMotion::shot_start(int64_t /*frame*/) const {
    return 0;
}

FlowPair StillMotion::into(int64_t /*frame*/, int64_t height, int64_t width) const {
    return {identity_flow(1, height, width), identity_flow(1, height, width)};
}

void follow_motion(Job& job, std::shared_ptr<const ClipAnalysis> analysis) {
    if (job.noise.kind->moves) {
        job.noise.chain = std::make_shared<const NoiseChain>(
            std::make_shared<const JobMotion>(std::move(analysis), job.fit));
    }
}

}  // namespace weft
