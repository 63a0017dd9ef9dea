#include "io/media/encoder.h"

#include <c10/util/StringUtil.h>

#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include "io/files/error.h"
#include "io/media/encoder_options.h"

extern "C" {
#include <libavutil/cpu.h>
}

namespace weft {
namespace {

double quality(const CodecEntry& entry, const WriteOptions& options) {
    if (!options.crf)
        return entry.crf;
    if (entry.crf < 0)
        throw UsageError("--crf", c10::str("codec ", entry.name, " has no such quality scale"),
                         "leave it out");
    if (!(*options.crf >= 0 && *options.crf <= entry.max_crf))
        throw UsageError("--crf", c10::str(*options.crf, " is out of range"),
                         c10::str("give 0 to ", entry.max_crf, " for ", entry.name));
    return *options.crf;
}

}  // namespace

VideoEncoder::VideoEncoder(const StreamInfo& info, const WriteOptions& options,
                           const AVOutputFormat& target, std::string name)
    : entry_(&find_codec(options.codec, target)),
      name_(std::move(name)),
      constant_rate_(std::strcmp(target.name, "avi") == 0 ||
                     std::strcmp(target.name, "yuv4mpegpipe") == 0),
      source_time_base_(info.time_base) {
    const AVCodec& codec = find_encoder(target);
    context_.reset(avcodec_alloc_context3(&codec));
    TORCH_CHECK(context_ != nullptr, "out of memory");
    const EncoderOptions given(options.encoder_options);
    configure(info, options, given.pixel_format(codec).value_or(format_for(*entry_, codec, info)));
    if ((target.flags & AVFMT_GLOBALHEADER) != 0)
        context_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    Options dictionary;
    set_private(options, dictionary);
    given.add_to(dictionary);
    open(info, dictionary);
}

const AVCodec& VideoEncoder::find_encoder(const AVOutputFormat& target) const {
    const bool frames = target.video_codec == AV_CODEC_ID_WRAPPED_AVFRAME;
    const bool raw = std::strcmp(entry_->name, "raw") == 0;
    const char* encoder = frames && raw ? "wrapped_avframe" : entry_->encoder;
    const AVCodec* codec = avcodec_find_encoder_by_name(encoder);
    if (codec == nullptr)
        throw Error(name_, c10::str("this FFmpeg has no encoder ", entry_->encoder),
                    "choose another --codec; weft doctor lists them");
    const bool held =
        frames ? raw : avformat_query_codec(&target, codec->id, FF_COMPLIANCE_NORMAL) != 0;
    if (!held)
        throw Error(name_, c10::str("a .", target.name, " file cannot hold ", entry_->name),
                    "choose another --codec, or write .mov or .mkv");
    return *codec;
}

void VideoEncoder::open(const StreamInfo& info, Options& dictionary) {
    clear_log();
    const int code = avcodec_open2(context_.get(), context_->codec, dictionary.address());
    if (code < 0)
        throw Error(name_,
                    c10::str("codec ", entry_->name, " does not take ", info.width, "x",
                             info.height, ": ", error_text(code)),
                    "choose another --codec or --encoder-opts");
    refuse_unused(dictionary, *context_->codec);
}

void VideoEncoder::configure(const StreamInfo& info, const WriteOptions& options,
                             AVPixelFormat format) {
    TORCH_CHECK(info.width > 0 && info.height > 0, "a clip needs a size");
    const ColorTag tag = coded_tag(info, format, *entry_);
    const AVPixFmtDescriptor& layout = *av_pix_fmt_desc_get(format);
    odd_ = !entry_->any_size && !is_rgb_format(format) &&
           (info.width % 2 != 0 || info.height % 2 != 0) && layout.log2_chroma_w == 0;
    format_ = format;
    AVCodecContext& context = *context_;
    context.width = static_cast<int>(info.width);
    context.height = static_cast<int>(info.height);
    context.pix_fmt = format;
    context.sample_aspect_ratio = to_av(info.sar);
    context.color_range = static_cast<AVColorRange>(tag.range);
    context.colorspace = static_cast<AVColorSpace>(tag.matrix);
    context.color_primaries = static_cast<AVColorPrimaries>(tag.primaries);
    context.color_trc = static_cast<AVColorTransferCharacteristic>(tag.transfer);
    context.chroma_sample_location = static_cast<AVChromaLocation>(tag.chroma);
    context.thread_count = options.threads;
    set_timing(info);
    pictures_.emplace(format, info.width, info.height, resolved(tag, info.width, info.height));
    if (std::strcmp(entry_->name, "gif") == 0) {
        palette_.emplace(GraphInput{.width = context.width,
                                    .height = context.height,
                                    .format = format,
                                    .time_base = context.time_base},
                         "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1");
        context.pix_fmt = AV_PIX_FMT_PAL8;
    }
}

void VideoEncoder::set_timing(const StreamInfo& info) {
    const bool rate_known = !info.frame_rate.is_zero();
    if (constant_rate_ && !rate_known)
        throw Error(name_, "the clip's frame rate is unknown, which this container needs",
                    "write .mkv");
    context_->framerate = to_av(info.frame_rate);
    context_->time_base = to_av(constant_rate_ ? info.frame_rate.inverse() : info.time_base);
    if (constant_rate_)
        context_->max_b_frames = 0;  // what stores no times cannot store them out of order
}

void VideoEncoder::set_private(const WriteOptions& options, Options& dictionary) const {
    const std::string name = entry_->name;
    const double crf = quality(*entry_, options);
    if (crf >= 0 && entry_->kind != CodecKind::hardware)
        dictionary.set("crf", c10::str(crf));
    if (name == "h264" || name == "h265")
        dictionary.set("preset", options.preset);
    // x264's AVX-512 code for macroblock trees takes in memory that nobody wrote (seen in r3095),
    // so equal pictures can come out as different bits; its AVX2 code does not.
    if (name == "h264" && (av_get_cpu_flags() & AV_CPU_FLAG_AVX512) != 0)
        dictionary.set("x264-params", "asm=avx2,fma3,bmi1,bmi2,lzcnt");
    if (name == "h265")
        dictionary.set("x265-params",
                       c10::str("log-level=none:frame-threads=1:pools=", options.threads));
    if (name == "vp9" || name == "av1") {
        dictionary.set("b", "0");
        dictionary.set("cpu-used", name == "vp9" ? "3" : "6");
        dictionary.set("row-mt", "1");
    }
    if (std::strcmp(entry_->encoder, "prores_ks") == 0)
        dictionary.set("profile", format_ == AV_PIX_FMT_YUV422P10 ? "hq" : "4444");
    if (name == "h264_nvenc" || name == "h265_nvenc") {
        dictionary.set("rc", "vbr");
        dictionary.set("cq", c10::str(crf));
    }
    if (name == "h264_qsv" || name == "h265_qsv")
        dictionary.set("global_quality", c10::str(std::lround(crf)));
    if (name == "raw")
        context_->strict_std_compliance = FF_COMPLIANCE_UNOFFICIAL;  // y4m of more than 8 bits
    if (name == "ffv1") {
        dictionary.set("level", "3");
        dictionary.set("slicecrc", "1");
        context_->gop_size = 1;
    }
}

void VideoEncoder::describe(AVStream& stream) const {
    const int code = avcodec_parameters_from_context(stream.codecpar, context_.get());
    TORCH_CHECK(code >= 0, "encoder gives no parameters: ", error_text(code));
    stream.time_base = context_->time_base;
    stream.avg_frame_rate = context_->framerate;
    stream.sample_aspect_ratio = context_->sample_aspect_ratio;
}

int64_t VideoEncoder::ticks_of(const Time& time) const {
    const int64_t ticks = time.ticks(time_base());
    if (!constant_rate_)
        return ticks;
    // Times of the source are rounded to its own ticks; more than that off the grid is a variable
    // rate.
    const Time off = time - Time::of(ticks, time_base());
    const Time limit(source_time_base_);
    if (off > limit || Time() - off > limit)
        throw Error(name_, "this container cannot hold a variable frame rate",
                    "write .mkv or .mp4, or make it constant with --fps");
    return ticks;
}

void VideoEncoder::give(const AVFrame* frame) {
    const int code = avcodec_send_frame(context_.get(), frame);
    if (code < 0)
        throw Error(name_, "cannot be encoded: " + error_text(code), "choose another --codec");
}

void VideoEncoder::send(const Frame& frame, const Time& time) {
    const FrameHandle picture = pictures_->encode(frame.pixels);
    picture->pts = ticks_of(time);
    picture->sample_aspect_ratio = context_->sample_aspect_ratio;
    // What was unspecified stays so in the stream; the conversion used the players' guess.
    picture->colorspace = context_->colorspace;
    picture->color_primaries = context_->color_primaries;
    picture->color_trc = context_->color_trc;
    picture->color_range = context_->color_range;
    picture->chroma_location = context_->chroma_sample_location;
    TORCH_CHECK(!last_pts_ || picture->pts > *last_pts_, "frame times must rise by a tick of ",
                time_base().num(), "/", time_base().den(), ", frame ", frame.index, " does not");
    last_pts_ = picture->pts;
    durations_[picture->pts] = std::max<int64_t>(1, frame.duration.ticks(time_base()));
    if (palette_)
        palette_->put(picture.get());
    else
        give(picture.get());
    give_reduced();
}

/// Encodes the pictures that have got their palette.
void VideoEncoder::give_reduced() {
    const FrameHandle reduced = make_frame();
    while (palette_ && palette_->take(*reduced)) {
        give(reduced.get());
        av_frame_unref(reduced.get());
    }
}

void VideoEncoder::flush() {
    if (palette_)
        palette_->put(nullptr);
    give_reduced();
    give(nullptr);
}

bool VideoEncoder::receive(AVPacket& packet) {
    const int code = avcodec_receive_packet(context_.get(), &packet);
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF)
        return false;
    if (code < 0)
        throw Error(name_, "cannot be encoded: " + error_text(code), "choose another --codec");
    const auto found = durations_.find(packet.pts);
    if (found != durations_.end()) {
        packet.duration = found->second;
        durations_.erase(found);
    }
    return true;
}

}  // namespace weft
