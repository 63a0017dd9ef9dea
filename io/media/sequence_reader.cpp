#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/files/error.h"
#include "io/media/sequence.h"

namespace weft {
namespace fs = std::filesystem;

namespace {

/// First wanted frame of `place`; a time counts in frames at `rate`.
int64_t frame_at(const Position& place, const Rational& rate) {
    if (place.frame)
        return *place.frame;
    const Rational frames = place.time * rate;
    return (frames.num() + frames.den() - 1) / frames.den();
}

/// "7, 9-12" for the numbers from the first to the last that have no file.
std::string missing_numbers(const std::map<int64_t, fs::path>& files) {
    constexpr int most = 5;
    std::string list;
    int gaps = 0;
    for (auto file = files.begin(); std::next(file) != files.end(); ++file) {
        const int64_t from = file->first + 1;
        const int64_t to = std::next(file)->first - 1;
        if (from > to)
            continue;
        if (gaps++ == most)
            return list + " ...";
        list += c10::str(list.empty() ? "" : ", ", from);
        if (to > from)
            list += c10::str("-", to);
    }
    return list;
}

class SequenceReader final : public FrameSource {
  public:
    SequenceReader(const Location& location, const ReadOptions& options);

    std::optional<Frame> next() override;

    const StreamInfo& info() const override { return info_; }

    std::vector<std::string> warnings() const override;

  private:
    void choose_part();
    void check_gaps();
    std::optional<Frame> read(const fs::path& file);

    int64_t index_of(int64_t number) const { return number - info_.first_number; }

    std::string name_;
    ReadOptions options_;
    std::map<int64_t, fs::path> files_;
    StreamInfo info_;
    std::map<int64_t, fs::path>::const_iterator place_;
    int64_t missing_ = 0;
    int64_t damaged_ = 0;
};

SequenceReader::SequenceReader(const Location& location, const ReadOptions& options)
    : name_(location.path.string()), options_(options), files_(location.pattern.files()) {
    if (files_.empty())
        throw Error(name_, "names an image sequence of which no file exists", "check the pattern");
    const auto& [first, file] = *files_.begin();
    info_ = open_video(file, {.threads = 1, .max_pixels = options_.max_pixels})->info();
    info_.container = "sequence";
    info_.first_number = first;
    info_.frame_rate = options_.sequence_rate;
    info_.time_base = options_.sequence_rate.inverse();
    info_.frames = files_.rbegin()->first - first + 1;
    info_.start = {};
    info_.duration = Time::of(info_.frames, info_.time_base);
    choose_part();
    if (!files_.empty())
        check_gaps();
    place_ = files_.begin();
}

void SequenceReader::choose_part() {
    const int64_t first = info_.first_number;
    if (options_.from)
        files_.erase(files_.begin(),
                     files_.lower_bound(first + frame_at(*options_.from, info_.frame_rate)));
    if (options_.to)
        files_.erase(files_.lower_bound(first + frame_at(*options_.to, info_.frame_rate)),
                     files_.end());
}

void SequenceReader::check_gaps() {
    const int64_t span = files_.rbegin()->first - files_.begin()->first + 1;
    missing_ = span - static_cast<int64_t>(files_.size());
    if (missing_ > 0 && options_.damage == Damage::refuse)
        throw Error(name_, c10::str("lacks the frames ", missing_numbers(files_)),
                    "add them, or --keep-going holds the frame before each gap");
}

/// The picture of one file; nullopt where it is broken and damage is skipped.
std::optional<Frame> SequenceReader::read(const fs::path& file) {
    try {
        auto picture =
            open_video(file, {.threads = options_.threads, .max_pixels = options_.max_pixels})
                ->next();
        if (!picture)
            throw Error(file.string(), "holds no picture", "check that the file is whole");
        return picture;
    } catch (const Error&) {
        if (options_.damage == Damage::refuse)
            throw;
        ++damaged_;
        return std::nullopt;
    }
}

std::optional<Frame> SequenceReader::next() {
    while (place_ != files_.end()) {
        const auto& [number, file] = *place_++;
        std::optional<Frame> frame = read(file);
        if (!frame)
            continue;
        if (frame->pixels.size(1) != info_.height || frame->pixels.size(2) != info_.width)
            throw Error(file.string(),
                        c10::str("is ", frame->pixels.size(2), "x", frame->pixels.size(1),
                                 ", the sequence is ", info_.width, "x", info_.height),
                        "scale it, or edit the parts on their own");
        const int64_t end = place_ == files_.end() ? number + 1 : place_->first;
        frame->index = index_of(number);
        frame->time = Time::of(frame->index, info_.time_base);
        frame->duration = Time::of(end - number, info_.time_base);
        return frame;
    }
    return std::nullopt;
}

std::vector<std::string> SequenceReader::warnings() const {
    std::vector<std::string> list;
    if (missing_ > 0)
        list.push_back(c10::str(missing_, " frames of the sequence are missing"));
    if (damaged_ > 0)
        list.push_back(c10::str(damaged_, " damaged files were skipped"));
    return list;
}

}  // namespace

std::unique_ptr<FrameSource> open_sequence(const Location& location, const ReadOptions& options) {
    return std::make_unique<SequenceReader>(location, options);
}

}  // namespace weft
