#include "io/media/stream_copy.h"

#include <c10/util/StringUtil.h>

#include <array>
#include <cstring>
#include <utility>

#include "io/files/error.h"
#include "io/media/input.h"
#include "io/media/light_metadata.h"
#include "io/media/muxer.h"

namespace weft {
namespace {

/// Tags that describe the old file rather than the clip.
bool is_stale_tag(const std::string& key) {
    static const std::array<const char*, 11> stale = {
        "major_brand", "minor_version",    "compatible_brands", "encoder", "ENCODER",  "rotate",
        "DURATION",    "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES",   "BPS",     "vendor_id"};
    for (const char* entry : stale) {
        if (key == entry)
            return true;
    }
    return key.rfind("_STATISTICS", 0) == 0 || key.rfind("DURATION-", 0) == 0 ||
           key.rfind("BPS-", 0) == 0 || key.rfind("NUMBER_OF_", 0) == 0;
}

void copy_tags(const AVDictionary* from, AVDictionary** to) {
    const AVDictionaryEntry* entry = nullptr;
    while ((entry = av_dict_get(from, "", entry, AV_DICT_IGNORE_SUFFIX)) != nullptr) {
        if (!is_stale_tag(entry->key))
            av_dict_set(to, entry->key, entry->value, 0);
    }
}

void copy_side_data(const AVStream& from, AVStream& to) {
    for (int i = 0; i < from.nb_side_data; ++i) {
        const AVPacketSideData& data = from.side_data[i];
        uint8_t* place = av_stream_new_side_data(&to, data.type, data.size);
        if (place != nullptr)
            std::memcpy(place, data.data, data.size);
    }
}

/// Colour volume and 3D layout stay true for the edited picture; a rotation does not, it is
/// applied.
void copy_picture_side_data(const AVStream& from, AVStream& to) {
    for (int i = 0; i < from.nb_side_data; ++i) {
        const AVPacketSideData& data = from.side_data[i];
        if (data.type != AV_PKT_DATA_MASTERING_DISPLAY_METADATA &&
            data.type != AV_PKT_DATA_CONTENT_LIGHT_LEVEL && data.type != AV_PKT_DATA_SPHERICAL &&
            data.type != AV_PKT_DATA_STEREO3D)
            continue;
        uint8_t* place = av_stream_new_side_data(&to, data.type, data.size);
        if (place != nullptr)
            std::memcpy(place, data.data, data.size);
    }
}

/// The codec tag where the container knows it for this codec, else 0 (the container's own).
uint32_t fitting_tag(const AVOutputFormat& format, const AVCodecParameters& parameters) {
    unsigned int own = 0;
    if (format.codec_tag == nullptr ||
        av_codec_get_id(format.codec_tag, parameters.codec_tag) == parameters.codec_id ||
        av_codec_get_tag2(format.codec_tag, parameters.codec_id, &own) == 0)
        return parameters.codec_tag;
    return 0;
}

/// Tracks that muxers make anew: mov's timecode from the picture's tag, its chapter titles from the
/// chapters.
bool is_derived(const AVStream& stream, const AVFormatContext& input) {
    const AVCodecParameters& parameters = *stream.codecpar;
    const bool titles = input.nb_chapters > 0 && parameters.codec_id == AV_CODEC_ID_BIN_DATA &&
                        parameters.codec_tag == MKTAG('t', 'e', 'x', 't');
    return titles || parameters.codec_tag == MKTAG('t', 'm', 'c', 'd');
}

std::string container_name(const AVFormatContext& output) {
    const bool matroska = std::strcmp(output.oformat->name, "matroska") == 0;
    return c10::str(".", matroska ? "mkv" : output.oformat->name);
}

bool is_cover(const AVStream& stream) {
    return (stream.disposition & AV_DISPOSITION_ATTACHED_PIC) != 0 && stream.attached_pic.size > 0;
}

bool is_matroska(const AVFormatContext& output) {
    return std::strcmp(output.oformat->name, "matroska") == 0 ||
           std::strcmp(output.oformat->name, "webm") == 0;
}

}  // namespace

StreamCopy::StreamCopy(const WriteOptions& options, AVFormatContext& output, AVStream& video,
                       std::shared_ptr<LiveStreams> live)
    : path_(options.side_source),
      live_(std::move(live)),
      output_(output),
      input_(live_ != nullptr ? live_->describe() : open_input(options.side_source)),
      main_video_(live_ != nullptr ? live_->picture() : main_video_stream(*input_)),
      from_(options.from.value_or(Time())),
      cut_start_(options.from.has_value()),
      to_(options.to),
      target_(input_->nb_streams, -1),
      pending_(make_packet()) {
    if (main_video_ >= 0)
        describe_picture(video);
    copy_tags(input_->metadata, &output_.metadata);
    add_streams();
    copy_chapters();
    if (live_ == nullptr)
        prepare_reading();
}

void StreamCopy::describe_picture(AVStream& video) {
    const AVStream& source = *input_->streams[main_video_];
    copy_tags(source.metadata, &video.metadata);
    video.disposition = source.disposition;
    copy_picture_side_data(source, video);
    const bool pq_or_hlg = source.codecpar->color_trc == AVCOL_TRC_SMPTE2084 ||
                           source.codecpar->color_trc == AVCOL_TRC_ARIB_STD_B67;
    if (live_ != nullptr || !pq_or_hlg)
        return;
    copy_light_metadata(*input_, main_video_, video);
    input_ = open_input(path_);
}

/// Looks ahead for what the header must say, and goes near the start of a part.
void StreamCopy::prepare_reading() {
    if (!cut_start_ && is_matroska(output_))
        declare_priming();
    if (cut_start_ && from_ > Time(10, 1)) {
        const int64_t target = (from_ - Time(5, 1)).ticks({1, AV_TIME_BASE});
        // A failed seek leaves the position at the start, which is only slower.
        static_cast<void>(av_seek_frame(input_.get(), -1, target, AVSEEK_FLAG_BACKWARD));
    }
}

/// Reads a packet; AVERROR(EAGAIN) where a pipe has none yet.
int StreamCopy::read(AVPacket& packet) {
    if (live_ == nullptr)
        return av_read_frame(input_.get(), &packet);
    return live_->pop(packet) ? 0 : AVERROR(EAGAIN);
}

bool StreamCopy::can_hold(const AVStream& source) const {
    const AVCodecParameters& parameters = *source.codecpar;
    const bool matroska = std::strcmp(output_.oformat->name, "matroska") == 0;
    if (parameters.codec_type == AVMEDIA_TYPE_ATTACHMENT)
        return matroska;
    if (parameters.codec_id == AV_CODEC_ID_NONE || parameters.codec_type == AVMEDIA_TYPE_DATA)
        return false;
    // Of these (gif, y4m) libav says that it does not know what else they hold: nothing.
    if (output_.oformat->audio_codec == AV_CODEC_ID_NONE)
        return false;
    return avformat_query_codec(output_.oformat, parameters.codec_id, FF_COMPLIANCE_NORMAL) != 0;
}

void StreamCopy::add_streams() {
    for (unsigned i = 0; i < input_->nb_streams; ++i) {
        AVStream& source = *input_->streams[i];
        const SideStream side = side_stream(source);
        source.discard = AVDISCARD_ALL;
        if (static_cast<int>(i) == main_video_ || is_derived(source, *input_))
            continue;
        if (is_cover(source) && std::strcmp(output_.oformat->name, "matroska") == 0) {
            add_attachment(source);
            continue;
        }
        if (can_hold(source)) {
            source.discard = AVDISCARD_DEFAULT;
            add_stream(source);
            continue;
        }
        std::unique_ptr<AudioRecoder> recoder;
        if (source.codecpar->codec_type == AVMEDIA_TYPE_AUDIO)
            recoder = AudioRecoder::make(source, *output_.oformat);
        const std::string what = c10::str("stream ", i, " (", side.kind, ", ", side.codec, ")");
        const std::string why =
            c10::str(": a ", container_name(output_), " file cannot hold it; .mkv can");
        if (recoder == nullptr) {
            warnings_.push_back(c10::str(what, " is left out", why));
            continue;
        }
        warnings_.push_back(c10::str(what, " is encoded anew as ", recoder->codec(), why));
        source.discard = AVDISCARD_DEFAULT;
        add_recoded(source, std::move(recoder));
    }
}

/// A stream of the output with what of the source does not depend on its codec.
AVStream& StreamCopy::new_stream(const AVStream& source) {
    AVStream* stream = avformat_new_stream(&output_, nullptr);
    TORCH_CHECK(stream != nullptr, "out of memory");
    stream->disposition = source.disposition;
    copy_tags(source.metadata, &stream->metadata);
    target_[source.index] = stream->index;
    return *stream;
}

void StreamCopy::add_stream(const AVStream& source) {
    AVStream& stream = new_stream(source);
    const int code = avcodec_parameters_copy(stream.codecpar, source.codecpar);
    TORCH_CHECK(code >= 0, "out of memory");
    stream.codecpar->codec_tag = fitting_tag(*output_.oformat, *source.codecpar);
    stream.time_base = source.time_base;
    stream.avg_frame_rate = source.avg_frame_rate;
    stream.sample_aspect_ratio = source.sample_aspect_ratio;
    copy_side_data(source, stream);
}

/// A cover as Matroska keeps it: a file with a name and a type.
void StreamCopy::add_attachment(const AVStream& source) {
    AVStream& stream = new_stream(source);
    target_[source.index] = -1;  // it has no packets
    AVCodecParameters& parameters = *stream.codecpar;
    parameters.codec_type = AVMEDIA_TYPE_ATTACHMENT;
    parameters.codec_id = source.codecpar->codec_id;
    parameters.extradata = static_cast<uint8_t*>(
        av_mallocz(static_cast<size_t>(source.attached_pic.size) + AV_INPUT_BUFFER_PADDING_SIZE));
    TORCH_CHECK(parameters.extradata != nullptr, "out of memory");
    std::memcpy(parameters.extradata, source.attached_pic.data, source.attached_pic.size);
    parameters.extradata_size = source.attached_pic.size;
    const bool png = parameters.codec_id == AV_CODEC_ID_PNG;
    const int keep = AV_DICT_DONT_OVERWRITE;
    av_dict_set(&stream.metadata, "filename", png ? "cover.png" : "cover.jpg", keep);
    av_dict_set(&stream.metadata, "mimetype", png ? "image/png" : "image/jpeg", keep);
}

void StreamCopy::add_recoded(const AVStream& source, std::unique_ptr<AudioRecoder> recoder) {
    recoder->describe(new_stream(source));
    recoders_[source.index] = std::move(recoder);
}

/// Tells Matroska how many samples before time 0 prime each audio decoder. It stores no negative
/// times; without this everything would move by the priming, typically 23 ms.
void StreamCopy::declare_priming() {
    std::vector<bool> seen(input_->nb_streams, false);
    constexpr int most_packets = 500;
    for (int i = 0; i < most_packets && av_read_frame(input_.get(), pending_.get()) >= 0; ++i) {
        const AVStream& source = *input_->streams[pending_->stream_index];
        const int target = target_[source.index];
        if (target >= 0 && !seen[source.index] && pending_->pts != AV_NOPTS_VALUE &&
            pending_->pts < 0 && recoders_.count(source.index) == 0 &&
            source.codecpar->codec_type == AVMEDIA_TYPE_AUDIO) {
            const Time priming = Time() - Time::of(pending_->pts, from_av(source.time_base));
            output_.streams[target]->codecpar->initial_padding =
                static_cast<int>(priming.ticks({1, source.codecpar->sample_rate}));
        }
        seen[source.index] = true;
        av_packet_unref(pending_.get());
    }
    output_.avoid_negative_ts = 0;
    reopen();
}

/// Starts reading the side source afresh, with the same streams discarded.
void StreamCopy::reopen() {
    input_ = open_input(path_);
    for (unsigned i = 0; i < input_->nb_streams && i < target_.size(); ++i)
        input_->streams[i]->discard = target_[i] < 0 ? AVDISCARD_ALL : AVDISCARD_DEFAULT;
}

/// Chapters of the written part, moved to its clock.
void StreamCopy::copy_chapters() {
    if (input_->nb_chapters == 0)
        return;
    const size_t room = input_->nb_chapters * sizeof(AVChapter*);
    output_.chapters = static_cast<AVChapter**>(av_mallocz(room));
    TORCH_CHECK(output_.chapters != nullptr, "out of memory");
    for (unsigned i = 0; i < input_->nb_chapters; ++i) {
        const AVChapter& source = *input_->chapters[i];
        const Rational base = from_av(source.time_base);
        const Time start = Time::of(source.start, base) - from_;
        const Time end = Time::of(source.end, base) - from_;
        if (end <= Time() || (to_ && Time::of(source.start, base) >= *to_))
            continue;
        auto* chapter = static_cast<AVChapter*>(av_mallocz(sizeof(AVChapter)));
        TORCH_CHECK(chapter != nullptr, "out of memory");
        chapter->id = source.id;
        chapter->time_base = source.time_base;
        chapter->start = std::max<int64_t>(0, start.ticks(base));
        chapter->end = end.ticks(base);
        if (to_)
            chapter->end = std::min(chapter->end, (*to_ - from_).ticks(base));
        av_dict_copy(&chapter->metadata, source.metadata, 0);
        output_.chapters[output_.nb_chapters++] = chapter;
    }
}

/// Moves a packet to the output's clock; false where it lies outside the written part.
bool StreamCopy::place(AVPacket& packet) const {
    const AVRational base = input_->streams[packet.stream_index]->time_base;
    const int64_t stamp = packet.pts != AV_NOPTS_VALUE ? packet.pts : packet.dts;
    if (stamp != AV_NOPTS_VALUE) {
        if (stamp < 0 && std::strcmp(output_.oformat->name, "avi") == 0)
            return false;  // avi starts at 0: keeping the decoder's priming would move the picture
        const Time time = Time::of(stamp, from_av(base));
        if ((cut_start_ && time < from_) || (to_ && time >= *to_))
            return false;
    }
    const int64_t shift = from_.ticks(from_av(base));
    if (packet.pts != AV_NOPTS_VALUE)
        packet.pts -= shift;
    if (packet.dts != AV_NOPTS_VALUE)
        packet.dts -= shift;
    return true;
}

/// Reads the next packet that goes to the output; false at the end.
bool StreamCopy::advance() {
    while (!ended_ && !has_pending_) {
        av_packet_unref(pending_.get());
        const int code = read(*pending_);
        if (code == AVERROR(EAGAIN) && live_ != nullptr)
            break;
        if (code == AVERROR_EOF) {
            ended_ = true;
            break;
        }
        if (code < 0)
            throw Error(path_.string(), "cannot be read: " + error_text(code),
                        "check that the file is whole");
        const AVStream& source = *input_->streams[pending_->stream_index];
        const Rational base = from_av(source.time_base);
        const int64_t stamp = pending_->dts != AV_NOPTS_VALUE ? pending_->dts : pending_->pts;
        if (to_ && stamp != AV_NOPTS_VALUE && Time::of(stamp, base) > *to_ + Time(10, 1))
            ended_ = true;
        const bool wanted =
            source.index < static_cast<int>(target_.size()) && target_[source.index] >= 0;
        if (!wanted || !place(*pending_))
            continue;
        if (stamp != AV_NOPTS_VALUE)
            pending_time_ = Time::of(stamp, base) - from_;
        has_pending_ = true;
    }
    return has_pending_;
}

void StreamCopy::write() {
    const AVStream& source = *input_->streams[pending_->stream_index];
    has_pending_ = false;
    if (recoders_.count(source.index) != 0) {
        recode(pending_.get(), source.index);
        return;
    }
    AVStream& target = *output_.streams[target_[source.index]];
    av_packet_rescale_ts(pending_.get(), source.time_base, target.time_base);
    pending_->stream_index = target.index;
    pending_->pos = -1;
    write_packet(output_, *pending_, output_.url);
}

/// Encodes a packet of `stream` anew, or with null what is still inside, and writes what is ready.
void StreamCopy::recode(const AVPacket* packet, int stream) {
    AudioRecoder& recoder = *recoders_.at(stream);
    AVStream& target = *output_.streams[target_[stream]];
    recoder.put(packet);
    const PacketHandle made = make_packet();
    while (recoder.take(*made)) {
        av_packet_rescale_ts(made.get(), recoder.time_base(), target.time_base);
        made->stream_index = target.index;
        write_packet(output_, *made, output_.url);
    }
}

void StreamCopy::write_until(const Time& time) {
    while (advance() && pending_time_ <= time) write();
}

void StreamCopy::finish(const std::optional<Time>& end) {
    if (end) {
        to_ = *end + from_;
        has_pending_ = has_pending_ && pending_time_ < *end;
    }
    while (advance()) write();
    for (const auto& [stream, recoder] : recoders_) recode(nullptr, stream);
}

}  // namespace weft
