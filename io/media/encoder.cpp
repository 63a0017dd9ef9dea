#include "io/media/encoder.h"

#include <c10/util/StringUtil.h>

#include <cstring>
#include <utility>

#include "io/files/error.h"

namespace weft {
namespace {

std::string known_codecs() {
    std::string list;
    for (const CodecEntry& entry : codec_table())
        list += std::string(list.empty() ? "" : ", ") + entry.name;
    return list;
}

const CodecEntry& find_codec(std::string wanted, const AVOutputFormat& target) {
    if (wanted == "auto")
        wanted = std::strcmp(target.name, "webm") == 0 ? "vp9" : "h264";
    for (const CodecEntry& entry : codec_table()) {
        if (wanted == entry.name)
            return entry;
    }
    throw UsageError("--codec", c10::str("'", wanted, "' is no codec weft knows"),
                     c10::str("choose one of ", known_codecs()));
}

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

bool is_rgb_name(const std::string& format) {
    const AVPixelFormat found = av_get_pix_fmt(format.c_str());
    return found != AV_PIX_FMT_NONE && is_rgb_format(found);
}

/// The tag of the coded picture: the source's as it is, except where the coding itself changes (RGB
/// to luma and chroma or back, codecs without a full range).
ColorTag coded_tag(const StreamInfo& info, AVPixelFormat format, const CodecEntry& entry) {
    ColorTag tag = info.color;
    if (is_rgb_format(format)) {
        tag.matrix = AVCOL_SPC_RGB;
        tag.range = ColorRange::full;
        tag.chroma = ChromaLocation::unspecified;
        return tag;
    }
    const bool from_rgb = info.pixel_format.empty() || is_rgb_name(info.pixel_format);
    if (from_rgb || tag.matrix == AVCOL_SPC_RGB) {
        tag.matrix = resolved(tag, info.width, info.height).matrix;
        tag.range = ColorRange::limited;
    }
    if (std::strcmp(entry.name, "prores") == 0 && tag.range == ColorRange::full)
        tag.range = ColorRange::limited;
    return tag;
}

}  // namespace

const std::vector<CodecEntry>& codec_table() {
    constexpr AVPixelFormat none = AV_PIX_FMT_NONE;
    static const std::vector<CodecEntry> table = {
        {"h264", "libx264", 18, 51, AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV420P10, AV_PIX_FMT_YUV444P,
         AV_PIX_FMT_YUV444P10, none, none},
        {"h265", "libx265", 20, 51, AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV420P10, AV_PIX_FMT_YUV444P,
         AV_PIX_FMT_YUV444P10, none, none},
        {"vp9", "libvpx-vp9", 24, 63, AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV420P10, AV_PIX_FMT_YUV420P,
         AV_PIX_FMT_YUV420P10, AV_PIX_FMT_YUVA420P, AV_PIX_FMT_YUVA420P},
        {"av1", "libaom-av1", 24, 63, AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV420P10, AV_PIX_FMT_YUV420P,
         AV_PIX_FMT_YUV420P10, none, none},
        {"prores", "prores_ks", -1, 0, AV_PIX_FMT_YUV422P10, AV_PIX_FMT_YUV422P10,
         AV_PIX_FMT_YUV444P10, AV_PIX_FMT_YUV444P10, AV_PIX_FMT_YUVA444P10, AV_PIX_FMT_YUVA444P10},
        {"ffv1", "ffv1", -1, 0, AV_PIX_FMT_0RGB32, AV_PIX_FMT_GBRP16, AV_PIX_FMT_0RGB32,
         AV_PIX_FMT_GBRP16, AV_PIX_FMT_RGB32, AV_PIX_FMT_GBRAP16},
        {"png", "png", -1, 0, AV_PIX_FMT_RGB24, AV_PIX_FMT_RGB48BE, AV_PIX_FMT_RGB24,
         AV_PIX_FMT_RGB48BE, AV_PIX_FMT_RGBA, AV_PIX_FMT_RGBA64BE},
    };
    return table;
}

VideoEncoder::VideoEncoder(const StreamInfo& info, const WriteOptions& options,
                           const AVOutputFormat& target, std::string name)
    : entry_(&find_codec(options.codec, target)),
      name_(std::move(name)),
      constant_rate_(std::strcmp(target.name, "avi") == 0),
      source_time_base_(info.time_base) {
    const AVCodec* codec = avcodec_find_encoder_by_name(entry_->encoder);
    if (codec == nullptr)
        throw Error(name_, c10::str("this FFmpeg has no encoder ", entry_->encoder),
                    "choose another --codec; weft doctor lists them");
    if (avformat_query_codec(&target, codec->id, FF_COMPLIANCE_NORMAL) == 0)
        throw Error(name_, c10::str("a .", target.name, " file cannot hold ", entry_->name),
                    "choose another --codec, or write .mov or .mkv");
    context_.reset(avcodec_alloc_context3(codec));
    TORCH_CHECK(context_ != nullptr, "out of memory");
    configure(info, options);
    if ((target.flags & AVFMT_GLOBALHEADER) != 0)
        context_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    Options dictionary;
    set_private(options, dictionary);
    clear_log();
    const int code = avcodec_open2(context_.get(), codec, dictionary.address());
    if (code < 0)
        throw Error(name_,
                    c10::str("codec ", entry_->name, " does not take ", info.width, "x",
                             info.height, ": ", error_text(code)),
                    "choose another --codec");
}

AVPixelFormat VideoEncoder::choose_format(const StreamInfo& info) {
    const bool deep = info.bit_depth > 8;
    if (info.has_alpha && entry_->alpha != AV_PIX_FMT_NONE)
        return deep ? entry_->deep_alpha : entry_->alpha;
    if (info.width % 2 == 0 && info.height % 2 == 0)
        return deep ? entry_->deep : entry_->plain;
    odd_ = entry_->odd != entry_->plain;
    return deep ? entry_->deep_odd : entry_->odd;
}

void VideoEncoder::configure(const StreamInfo& info, const WriteOptions& options) {
    TORCH_CHECK(info.width > 0 && info.height > 0, "a clip needs a size");
    const AVPixelFormat format = choose_format(info);
    const ColorTag tag = coded_tag(info, format, *entry_);
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
    context.framerate = to_av(info.frame_rate);
    const bool rate_known = !info.frame_rate.is_zero();
    if (constant_rate_ && !rate_known)
        throw Error(name_, "the clip's frame rate is unknown, which .avi needs", "write .mkv");
    context.time_base = to_av(constant_rate_ ? info.frame_rate.inverse() : info.time_base);
    context.thread_count = options.threads;
    if (constant_rate_)
        context.max_b_frames = 0;  // avi stores no times that could be out of order
    ColorTag shown = resolved(tag, info.width, info.height);
    pictures_.emplace(format, info.width, info.height, shown);
}

void VideoEncoder::set_private(const WriteOptions& options, Options& dictionary) const {
    const std::string name = entry_->name;
    const double crf = quality(*entry_, options);
    if (crf >= 0)
        dictionary.set("crf", c10::str(crf));
    if (name == "h264" || name == "h265")
        dictionary.set("preset", options.preset);
    if (name == "h265")
        dictionary.set("x265-params",
                       c10::str("log-level=none:frame-threads=1:pools=", options.threads));
    if (name == "vp9" || name == "av1") {
        dictionary.set("b", "0");
        dictionary.set("cpu-used", name == "vp9" ? "3" : "6");
        dictionary.set("row-mt", "1");
    }
    if (name == "prores")
        dictionary.set("profile", has_alpha_plane(context_->pix_fmt) || odd_ ? "4444" : "hq");
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
        throw Error(name_, "an .avi file cannot hold a variable frame rate", "write .mkv or .mp4");
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
    give(picture.get());
}

void VideoEncoder::flush() {
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
