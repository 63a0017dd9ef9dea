#include "io/media/clip_muxer.h"

#include <c10/util/StringUtil.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "io/files/error.h"
#include "io/media/location.h"
#include "io/media/output_file.h"

namespace weft {
namespace fs = std::filesystem;

namespace {

/// Refuses to write over what is being read, whatever names and links lead there.
const fs::path& checked_target(const fs::path& path, const StreamInfo& info,
                               const WriteOptions& options) {
    if (same_file(path, options.side_source) || same_file(path, info.path))
        throw Error(path.string(), "is the input itself", "choose another name");
    return path;
}

}  // namespace

/// Where a clip is written: a file that grows under another name, or a pipe.
class ClipMuxer::Target {
  public:
    Target(const fs::path& path, const WriteOptions& options)
        : pipe_(locate_output(path).kind == Location::Kind::pipe), path_(path) {
        if (path == "-" && ::isatty(STDOUT_FILENO) != 0)
            throw UsageError("-o", "standard output is a terminal", "send it to a pipe or a file");
        if (!pipe_)
            file_.emplace(path, options.overwrite ? OutputFile::Existing::replace
                                                  : OutputFile::Existing::refuse);
    }

    bool is_pipe() const { return pipe_; }

    std::string url() const {
        if (path_ == "-")
            return c10::str("pipe:", STDOUT_FILENO);
        return file_url(pipe_ ? path_ : file_->part());
    }

    void commit() {
        if (file_)
            file_->commit();
    }

  private:
    bool pipe_;
    fs::path path_;
    std::optional<OutputFile> file_;
};

ClipMuxer::ClipMuxer(const fs::path& path, const StreamInfo& info, const WriteOptions& options)
    : name_(path.string()),
      info_(info),
      options_(options),
      target_(std::make_unique<Target>(checked_target(path, info, options), options)),
      output_(open_output(container_for(path, target_->is_pipe(), options.container),
                          target_->url(), name_)),
      held_(make_packet()) {}

ClipMuxer::~ClipMuxer() = default;

void ClipMuxer::start(const ClipEncoder& encoder) {
    TORCH_CHECK(stream_ == nullptr, "the header is written once");
    stream_ = avformat_new_stream(output_.get(), nullptr);
    TORCH_CHECK(stream_ != nullptr, "out of memory");
    encoder.describe(*stream_);
    time_base_ = encoder.time_base();
    if (stream_->codecpar->codec_id == AV_CODEC_ID_HEVC &&
        (std::strcmp(output_->oformat->name, "mp4") == 0 ||
         std::strcmp(output_->oformat->name, "mov") == 0))
        stream_->codecpar->codec_tag = MKTAG('h', 'v', 'c', '1');  // what Apple's players ask for
    const bool readable = !options_.side_source.empty() &&
                          locate_input(options_.side_source).kind == Location::Kind::file;
    if (info_.live != nullptr || readable)
        others_.emplace(options_, *output_, *stream_, info_.live);
    if (encoder.keeps_alpha() && stream_->codecpar->codec_id == AV_CODEC_ID_VP9)
        av_dict_set(&stream_->metadata, "alpha_mode", "1", 0);  // WebM's sign for it
    write_header(*output_, info_.time_base, name_);
}

/// Writes the packets that are there but the last, the other streams in step.
void ClipMuxer::put(AVPacket& packet) {
    if (packets_++ == 0)
        first_dts_ = packet.dts;
    else
        write_held();
    av_packet_move_ref(held_.get(), &packet);
}

void ClipMuxer::write_held() {
    if (others_)
        others_->write_until(Time::of(held_->dts, time_base_));
    av_packet_rescale_ts(held_.get(), to_av(time_base_), stream_->time_base);
    held_->stream_index = stream_->index;
    write_packet(*output_, *held_, name_);
}

/// mp4 and mov store how long samples last in decoding order; the last one then makes the sum what
/// the frames last in the order they are shown.
void ClipMuxer::fit_last_duration(const Time& shown) {
    const std::string container = output_->oformat->name;
    if (container != "mp4" && container != "mov" && container != "ipod")
        return;
    held_->duration = std::max<int64_t>(1, shown.ticks(time_base_) - (held_->dts - first_dts_));
}

void ClipMuxer::finish(const Time& start, const Time& end) {
    fit_last_duration(end - start);
    write_held();
    const bool cut = options_.end == WriteOptions::End::last_frame && !options_.to;
    if (others_)
        others_->finish(cut ? std::optional<Time>(end) : std::nullopt);
    write_trailer(*output_, name_);
    target_->commit();
}

std::vector<std::string> ClipMuxer::warnings() const {
    return others_ ? others_->warnings() : std::vector<std::string>();
}

}  // namespace weft
