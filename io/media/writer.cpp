#include "io/media/writer.h"

#include <c10/util/StringUtil.h>

#include <unistd.h>

#include <cstring>
#include <utility>

#include "io/files/error.h"
#include "io/media/encoder.h"
#include "io/media/location.h"
#include "io/media/muxer.h"
#include "io/media/output_file.h"
#include "io/media/sequence.h"
#include "io/media/stream_copy.h"

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

/// Where a clip is written: a file that grows under another name, or a pipe.
class Target {
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

class VideoWriter final : public FrameSink {
  public:
    VideoWriter(const fs::path& path, const StreamInfo& info, const WriteOptions& options);

    void put(const Frame& frame) override;
    void finish() override;

    std::vector<std::string> warnings() const override;

  private:
    void drain();
    void write_held();
    void fit_last_duration();
    void check_size(const Frame& frame) const;
    void notice_alpha(const Frame& frame);

    std::string name_;
    StreamInfo info_;
    Time from_;
    Target target_;
    OutputHandle output_;
    VideoEncoder encoder_;
    AVStream* stream_ = nullptr;
    std::optional<StreamCopy> others_;
    PacketHandle packet_;
    PacketHandle held_;  // the last packet so far
    int64_t packets_ = 0;
    int64_t first_dts_ = 0;
    int64_t frames_ = 0;
    Time start_;  // of the first frame, on the output's clock
    Time end_;    // of the last frame, on the output's clock
    bool cut_at_last_frame_ = false;
    bool lost_alpha_ = false;
};

VideoWriter::VideoWriter(const fs::path& path, const StreamInfo& info, const WriteOptions& options)
    : name_(path.string()),
      info_(info),
      from_(options.from.value_or(Time())),
      target_(checked_target(path, info, options), options),
      output_(open_output(container_for(path, target_.is_pipe(), options.container), target_.url(),
                          name_)),
      encoder_(info, options, *output_->oformat, name_),
      packet_(make_packet()),
      held_(make_packet()),
      cut_at_last_frame_(options.end == WriteOptions::End::last_frame && !options.to) {
    stream_ = avformat_new_stream(output_.get(), nullptr);
    TORCH_CHECK(stream_ != nullptr, "out of memory");
    encoder_.describe(*stream_);
    if (stream_->codecpar->codec_id == AV_CODEC_ID_HEVC &&
        (std::strcmp(output_->oformat->name, "mp4") == 0 ||
         std::strcmp(output_->oformat->name, "mov") == 0))
        stream_->codecpar->codec_tag = MKTAG('h', 'v', 'c', '1');  // what Apple's players ask for
    const bool readable = !options.side_source.empty() &&
                          locate_input(options.side_source).kind == Location::Kind::file;
    if (info.live != nullptr || readable)
        others_.emplace(options, *output_, *stream_, info.live);
    if (encoder_.keeps_alpha() && stream_->codecpar->codec_id == AV_CODEC_ID_VP9)
        av_dict_set(&stream_->metadata, "alpha_mode", "1", 0);  // WebM's sign for it
    write_header(*output_, info_.time_base, name_);
}

void VideoWriter::check_size(const Frame& frame) const {
    TORCH_CHECK(frame.pixels.dim() == 3 && frame.pixels.size(1) == info_.height &&
                    frame.pixels.size(2) == info_.width,
                "frame ", frame.index, " is ", frame.pixels.sizes(), ", the clip is ", info_.height,
                " x ", info_.width);
}

void VideoWriter::notice_alpha(const Frame& frame) {
    if (!lost_alpha_ && frame.pixels.size(0) == 4 && !encoder_.keeps_alpha())
        lost_alpha_ = frame.pixels[3].min().item<float>() < 0.999F;
}

/// Writes the packets that are ready but the last, the other streams in step.
void VideoWriter::drain() {
    while (encoder_.receive(*packet_)) {
        if (packets_++ == 0)
            first_dts_ = packet_->dts;
        else
            write_held();
        av_packet_move_ref(held_.get(), packet_.get());
    }
}

void VideoWriter::write_held() {
    const Rational base = encoder_.time_base();
    if (others_)
        others_->write_until(Time::of(held_->dts, base));
    av_packet_rescale_ts(held_.get(), to_av(base), stream_->time_base);
    held_->stream_index = stream_->index;
    write_packet(*output_, *held_, name_);
}

/// mp4 and mov store how long samples last in decoding order; the last one then makes the sum what
/// the frames last in the order they are shown.
void VideoWriter::fit_last_duration() {
    const std::string container = output_->oformat->name;
    if (container != "mp4" && container != "mov" && container != "ipod")
        return;
    const int64_t shown = (end_ - start_).ticks(encoder_.time_base());
    held_->duration = std::max<int64_t>(1, shown - (held_->dts - first_dts_));
}

void VideoWriter::put(const Frame& frame) {
    check_size(frame);
    notice_alpha(frame);
    encoder_.send(frame, frame.time - from_);
    if (frames_++ == 0)
        start_ = frame.time - from_;
    end_ = frame.time + frame.duration - from_;
    drain();
}

void VideoWriter::finish() {
    if (frames_ == 0)
        throw Error(name_, "there is no frame to write", "check --from and --to");
    encoder_.flush();
    drain();
    fit_last_duration();
    write_held();
    if (others_)
        others_->finish(cut_at_last_frame_ ? std::optional<Time>(end_) : std::nullopt);
    write_trailer(*output_, name_);
    target_.commit();
}

std::vector<std::string> VideoWriter::warnings() const {
    std::vector<std::string> list = others_ ? others_->warnings() : std::vector<std::string>();
    if (encoder_.is_444_for_odd_size())
        list.push_back(c10::str("the odd size ", info_.width, "x", info_.height,
                                " is coded as 4:4:4, which some players lack"));
    if (lost_alpha_)
        list.emplace_back(
            "transparency is lost: this codec has none; --codec ffv1, prores or vp9 has");
    return list;
}

}  // namespace

std::unique_ptr<FrameSink> create_video(const fs::path& path, const StreamInfo& info,
                                        const WriteOptions& options) {
    const Location location =
        locate_output(path, options.codec == "auto" ? ".png" : "." + options.codec);
    const bool pictures = location.kind == Location::Kind::sequence ||
                          (names_picture(path) && options.container == "auto");
    if (pictures)
        return create_pictures(location, info, options);
    return std::make_unique<VideoWriter>(path, info, options);
}

}  // namespace weft
