#include "io/media/reader.h"

#include <c10/util/StringUtil.h>

#include <utility>

#include "io/files/error.h"
#include "io/media/convert.h"
#include "io/media/deinterlace.h"
#include "io/media/input.h"
#include "io/media/packets.h"
#include "io/media/seek.h"
#include "io/media/sequence.h"

namespace weft {
namespace {

const std::string repair_hint =
    "copy it again from its origin, or read the sound part with --from and --to";

/// A decoded picture with its repaired time stamp.
struct Decoded {
    FrameHandle frame;
    int64_t pts = 0;    // in the stream's time base, rising
    int64_t index = 0;  // in the source
};

/// Lines that decoders log as errors about streams that decode right.
bool is_harmless(const std::string& line) {
    for (const char* part : {"mmco", "number of reference frames", "co located POCs", "SEI"}) {
        if (line.find(part) != std::string::npos)
            return true;
    }
    return line.empty();
}

/// Opens the decoder of a stream with weft's limits.
CodecHandle open_decoder(const AVStream& stream, const ReadOptions& options,
                         const std::string& name) {
    const AVCodec* codec = decoder_for(stream);
    if (codec == nullptr)
        throw Error(name,
                    c10::str("no decoder for '", avcodec_get_name(stream.codecpar->codec_id), "'"),
                    "convert it to H.264 first");
    CodecHandle decoder(avcodec_alloc_context3(codec));
    TORCH_CHECK(decoder != nullptr, "out of memory");
    int code = avcodec_parameters_to_context(decoder.get(), stream.codecpar);
    decoder->pkt_timebase = stream.time_base;
    decoder->thread_count = options.threads;
    decoder->max_pixels = options.max_pixels;
    // Without AV_EF_EXPLODE, with which mpeg4 runs into an assertion of libavcodec's; what decoders
    // find comes through DecoderLog.
    decoder->err_recognition = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER;
    if (code >= 0)
        code = avcodec_open2(decoder.get(), codec, nullptr);
    if (code < 0)
        throw Error(name, "cannot be decoded: " + error_text(code), "convert it to H.264 first");
    return decoder;
}

class VideoReader final : public FrameSource {
  public:
    VideoReader(std::filesystem::path path, const ReadOptions& options);

    std::optional<Frame> next() override;

    const StreamInfo& info() const override { return info_; }

    std::vector<std::string> warnings() const override;

  private:
    void start_decoder();
    void reach_start();
    bool reach_by_seek();
    Decoded pull();
    bool receive(AVFrame& frame);
    bool receive_progressive(AVFrame& frame);
    void feed();
    void damaged(const std::string& what);
    void check_complete();
    void stamp(Decoded& decoded);
    bool before_start(const Decoded& decoded) const;
    bool after_end(const Decoded& decoded) const;
    int64_t shown_ticks(const Decoded& decoded) const;
    Frame delivered(const Decoded& decoded);
    void end_others();

    std::filesystem::path path_;
    ReadOptions options_;
    DecoderLog log_;  // before the decoder and the demuxer that write to them
    DecoderLog demuxer_log_;
    std::unique_ptr<PipeInput> pipe_;  // null for files; before what reads it
    InputHandle input_;
    int stream_ = -1;
    StreamInfo info_;
    CodecHandle decoder_;
    std::optional<PacketReader> packets_;
    std::optional<Deinterlacer> deinterlacer_;  // from the first interlaced picture on
    bool deinterlacer_flushed_ = false;
    PictureDecoder pictures_;
    Decoded ahead_;
    std::optional<SeekPlan> seek_;  // set while frames are numbered by it
    bool warming_ = false;  // decoding from a key frame towards the start: damage is expected
    bool started_ = false;
    bool drained_ = false;
    bool stamped_ = false;
    int64_t pulled_ = 0;
    int64_t first_pts_ = 0;
    int64_t last_pts_ = 0;
    int64_t damages_ = 0;
    int64_t restamped_ = 0;
};

VideoReader::VideoReader(std::filesystem::path path, const ReadOptions& options)
    : path_(std::move(path)),
      options_(options),
      pipe_(locate_input(path_).kind == Location::Kind::pipe
                ? std::make_unique<PipeInput>(path_, options_.stop)
                : nullptr),
      input_(pipe_ == nullptr ? open_input(path_, options_.max_pixels)
                              : open_input(*pipe_, path_, options_.max_pixels)),
      stream_(main_video_stream(*input_)) {
    if (stream_ < 0)
        throw Error(path_.string(), "holds no video stream", "choose a file with a picture");
    const AVStream& stream = *input_->streams[stream_];
    const int64_t pixels = int64_t{stream.codecpar->width} * stream.codecpar->height;
    if (pixels > options_.max_pixels)
        throw Error(path_.string(),
                    c10::str("its frames of ", stream.codecpar->width, "x", stream.codecpar->height,
                             " are larger than the limit of ", options_.max_pixels, " pixels"),
                    "scale it down first");
    if (pixels <= 0)
        throw Error(path_.string(),
                    c10::str("its frames have no size, or more than the limit of ",
                             options_.max_pixels, " pixels"),
                    "check that the file is whole, or scale it down first");
    info_ = stream_info(*input_, stream_, path_);
    if (pipe_ != nullptr && options_.keep_streams)
        info_.live = std::make_shared<LiveStreams>(*input_, stream_);
    start_decoder();
    if (options_.from && !info_.interlaced && pipe_ == nullptr)
        seek_ = plan_seek(path_, stream_, *options_.from);
}

void VideoReader::start_decoder() {
    decoder_ = open_decoder(*input_->streams[stream_], options_, path_.string());
    decoder_->opaque = &log_;
    input_->opaque = &demuxer_log_;
    packets_.emplace(*input_, stream_, info_.live.get());
}

std::vector<std::string> VideoReader::warnings() const {
    std::vector<std::string> list;
    if (damages_ > 0)
        list.push_back(c10::str(damages_, " damaged places were skipped"));
    if (deinterlacer_)
        list.emplace_back("the clip is interlaced; its frames were deinterlaced");
    if (restamped_ > 0)
        list.push_back(c10::str(restamped_, " frames had no rising time stamp and got one"));
    return list;
}

/// Throws what is wrong at the current frame, or counts it where damage is skipped.
void VideoReader::damaged(const std::string& what) {
    if (warming_)
        return;
    if (options_.damage == Damage::skip) {
        ++damages_;
        return;
    }
    const Time time = Time::of(pulled_ > 0 ? last_pts_ - first_pts_ : 0, info_.time_base);
    throw Error(path_.string(),
                c10::str("damaged near frame ", pulled_, " (", to_string(time), "): ", what),
                repair_hint);
}

/// Sends one packet to the decoder, or the end of the stream.
void VideoReader::feed() {
    const AVPacket* packet = packets_->next();
    if (packet == nullptr && pipe_ != nullptr && pipe_->stopped())
        throw Interrupted("the pipe was not read to its end");
    const std::string logged = demuxer_log_.take();
    if (!packets_->problem().empty())
        damaged(packets_->problem());
    else if (!logged.empty())
        damaged(logged);
    const int code = avcodec_send_packet(decoder_.get(), packet);
    if (code < 0 && code != AVERROR_EOF)
        damaged(error_text(code));
}

/// Takes one picture from the decoder, feeding it as needed; false at the end of the stream.
bool VideoReader::receive(AVFrame& frame) {
    while (true) {
        const int code = avcodec_receive_frame(decoder_.get(), &frame);
        if (code == AVERROR_EOF)
            return false;
        if (code == AVERROR(EAGAIN)) {
            feed();
            continue;
        }
        if (code < 0) {
            damaged(error_text(code));
            continue;
        }
        const std::string logged = log_.take();
        if (!is_harmless(logged))
            damaged(logged);
        else if (frame.decode_error_flags != 0 || (frame.flags & AV_FRAME_FLAG_CORRUPT) != 0)
            damaged("a picture decodes with errors");
        forget_unknown_values(frame);
        return true;
    }
}

/// Takes one progressive picture; false at the end of the stream.
bool VideoReader::receive_progressive(AVFrame& frame) {
    while (true) {
        if (deinterlacer_ && deinterlacer_->take(frame))
            return true;
        if (deinterlacer_flushed_)
            return false;
        const bool received = receive(frame);
        if (!deinterlacer_ && received && frame.interlaced_frame != 0)
            deinterlacer_.emplace(frame, input_->streams[stream_]->time_base);
        if (!deinterlacer_)
            return received;
        deinterlacer_->put(received ? &frame : nullptr);
        deinterlacer_flushed_ = !received;
    }
}

void VideoReader::stamp(Decoded& decoded) {
    int64_t pts = decoded.frame->best_effort_timestamp;
    const int64_t step =
        info_.frame_rate.is_zero()
            ? 1
            : std::max<int64_t>(1, info_.frame_rate.inverse().rounded_to(info_.time_base));
    const bool first = !stamped_;
    stamped_ = true;
    if (pts == AV_NOPTS_VALUE) {
        pts = first ? 0 : last_pts_ + step;
        restamped_ += first ? 0 : 1;
    }
    if (!first && pts <= last_pts_) {
        pts = last_pts_ + 1;
        ++restamped_;
    }
    if (first) {
        first_pts_ = seek_ ? seek_->times.front() : pts;
        pulled_ = seek_ ? seek_->index_of(pts) : 0;
    }
    last_pts_ = pts;
    decoded.pts = pts;
    decoded.index = pulled_++;
}

/// The next decoded picture; its frame is null at the end.
Decoded VideoReader::pull() {
    Decoded decoded{.frame = make_frame()};
    if (drained_ || !receive_progressive(*decoded.frame)) {
        if (!drained_ && !warming_)
            check_complete();
        drained_ = true;
        decoded.frame.reset();
        return decoded;
    }
    const AVCodecParameters& parameters = *input_->streams[stream_]->codecpar;
    if (decoded.frame->width != parameters.width || decoded.frame->height != parameters.height)
        throw Error(
            path_.string(),
            c10::str("its size changes from ", parameters.width, "x", parameters.height, " to ",
                     decoded.frame->width, "x", decoded.frame->height, " at frame ", pulled_),
            "cut it there and edit the parts on their own");
    stamp(decoded);
    return decoded;
}

void VideoReader::check_complete() {
    if (pulled_ == 0)
        throw Error(path_.string(), "holds no picture that can be decoded",
                    "check that the file is whole");
    const std::string missing = packets_->shortfall();
    if (!missing.empty())
        damaged(missing);
}

bool VideoReader::before_start(const Decoded& decoded) const {
    if (!options_.from || decoded.frame == nullptr)
        return false;
    if (options_.from->frame)
        return decoded.index < *options_.from->frame;
    return Time::of(decoded.pts - first_pts_, info_.time_base) < options_.from->time;
}

bool VideoReader::after_end(const Decoded& decoded) const {
    if (!options_.to)
        return false;
    if (options_.to->frame)
        return decoded.index >= *options_.to->frame;
    return Time::of(decoded.pts - first_pts_, info_.time_base) >= options_.to->time;
}

/// How long a picture is shown: until the next one; the last until the declared end of the stream,
/// else by its packet or the frame rate.
int64_t VideoReader::shown_ticks(const Decoded& decoded) const {
    if (ahead_.frame != nullptr)
        return ahead_.pts - decoded.pts;
    const Time length = declared_duration(*input_->streams[stream_]);
    const int64_t rest = (info_.start + length).ticks(info_.time_base) - decoded.pts;
    if (length > Time() && rest > 0)
        return rest;
    if (decoded.frame->pkt_duration > 0)
        return decoded.frame->pkt_duration;
    if (!info_.frame_rate.is_zero())
        return std::max<int64_t>(1, info_.frame_rate.inverse().rounded_to(info_.time_base));
    return 1;
}

Frame VideoReader::delivered(const Decoded& decoded) {
    Frame frame;
    frame.pixels = pictures_.decode(*decoded.frame);  // [3|4, h, w]
    if (info_.rotation != 0)
        frame.pixels = torch::rot90(frame.pixels, -info_.rotation / 90, {1, 2}).contiguous();
    if (info_.mirrored)
        frame.pixels = frame.pixels.flip(2);
    frame.index = decoded.index;
    frame.time = Time::of(decoded.pts, info_.time_base);
    frame.duration = Time::of(shown_ticks(decoded), info_.time_base);
    frame.color = frame_color(*decoded.frame);
    if (info_.rotation % 180 != 0) {
        frame.color.matrix = info_.color.matrix;
        frame.color.chroma = info_.color.chroma;
    }
    return frame;
}

/// Goes to the start by the seek plan; false where its frame does not come out as planned.
bool VideoReader::reach_by_seek() {
    for (int64_t i = 0; i < seek_->packets_before; ++i) packets_->next();
    warming_ = true;
    do {
        ahead_ = pull();
    } while (ahead_.frame != nullptr && ahead_.pts < seek_->start);
    warming_ = false;
    static_cast<void>(log_.take());
    return ahead_.frame != nullptr && ahead_.pts == seek_->start && restamped_ == 0 &&
           ahead_.index == seek_->index_of(seek_->start);
}

/// Reads up to the first frame wanted.
void VideoReader::reach_start() {
    clear_log();
    if (seek_) {
        if (reach_by_seek())
            return;
        seek_.reset();
        input_ = open_input(path_, options_.max_pixels);
        start_decoder();
        deinterlacer_.reset();
        deinterlacer_flushed_ = false;
        stamped_ = drained_ = false;
        pulled_ = restamped_ = 0;
    }
    do {
        ahead_ = pull();
    } while (before_start(ahead_));
}

/// Reads on to where the other streams of a pipe reach the end of the part.
void VideoReader::end_others() {
    if (info_.live == nullptr || ahead_.frame == nullptr)
        return;
    packets_->pass_others(Time::of(ahead_.pts, info_.time_base));
    ahead_.frame.reset();
}

std::optional<Frame> VideoReader::next() {
    if (!started_) {
        started_ = true;
        reach_start();
    }
    if (ahead_.frame == nullptr || after_end(ahead_)) {
        end_others();
        return std::nullopt;
    }
    const Decoded current = std::exchange(ahead_, Decoded{});
    ahead_ = pull();
    return delivered(current);
}

}  // namespace

std::unique_ptr<FrameSource> open_video(const std::filesystem::path& path,
                                        const ReadOptions& options) {
    const Location location = locate_input(path);
    if (location.kind == Location::Kind::sequence)
        return open_sequence(location, options);
    return std::make_unique<VideoReader>(path, options);
}

}  // namespace weft
