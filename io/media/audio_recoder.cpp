#include "io/media/audio_recoder.h"

#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>

extern "C" {
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/channel_layout.h>
}

namespace weft {
namespace {

/// The encoder for sound in a container, null where weft knows none.
const AVCodec* encoder_for(const AVOutputFormat& target) {
    const std::string name = target.name;
    if (name == "webm")
        return avcodec_find_encoder_by_name("libopus");
    if (name == "mp4" || name == "mov" || name == "ipod")
        return avcodec_find_encoder_by_name("aac");
    return nullptr;
}

/// The rate of a list (ending in 0) nearest above `wanted`, else its highest; `wanted` without a
/// list.
int fitting_rate(const int* rates, int wanted) {
    if (rates == nullptr)
        return wanted;
    int above = 0;
    int highest = 0;
    for (; *rates != 0; ++rates) {
        highest = std::max(highest, *rates);
        if (*rates >= wanted && (above == 0 || *rates < above))
            above = *rates;
    }
    return above != 0 ? above : highest;
}

std::string layout_name(const AVChannelLayout& layout) {
    std::array<char, 128> name{};
    av_channel_layout_describe(&layout, name.data(), name.size());
    return name.data();
}

}  // namespace

void AudioRecoder::GraphDelete::operator()(AVFilterGraph* p) const {
    avfilter_graph_free(&p);
}

std::unique_ptr<AudioRecoder> AudioRecoder::make(const AVStream& source,
                                                 const AVOutputFormat& target) {
    std::unique_ptr<AudioRecoder> recoder(new AudioRecoder);
    if (!recoder->open_decoder(source) || !recoder->open_encoder(target))
        return nullptr;
    recoder->link_filters(source.time_base);
    return recoder;
}

bool AudioRecoder::open_decoder(const AVStream& source) {
    const AVCodec* codec = avcodec_find_decoder(source.codecpar->codec_id);
    if (codec == nullptr)
        return false;
    decoder_.reset(avcodec_alloc_context3(codec));
    TORCH_CHECK(decoder_ != nullptr, "out of memory");
    if (avcodec_parameters_to_context(decoder_.get(), source.codecpar) < 0)
        return false;
    decoder_->pkt_timebase = source.time_base;
    decoder_->thread_count = 1;
    if (decoder_->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC)
        av_channel_layout_default(&decoder_->ch_layout, decoder_->ch_layout.nb_channels);
    return avcodec_open2(decoder_.get(), codec, nullptr) >= 0 && decoder_->sample_rate > 0;
}

bool AudioRecoder::open_encoder(const AVOutputFormat& target) {
    const AVCodec* codec = encoder_for(target);
    if (codec == nullptr)
        return false;
    encoder_.reset(avcodec_alloc_context3(codec));
    TORCH_CHECK(encoder_ != nullptr, "out of memory");
    encoder_->sample_rate = fitting_rate(codec->supported_samplerates, decoder_->sample_rate);
    encoder_->sample_fmt = codec->sample_fmts[0];
    encoder_->bit_rate = int64_t{96'000} * decoder_->ch_layout.nb_channels;
    encoder_->time_base = {1, encoder_->sample_rate};
    encoder_->thread_count = 1;
    if ((target.flags & AVFMT_GLOBALHEADER) != 0)
        encoder_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    return av_channel_layout_copy(&encoder_->ch_layout, &decoder_->ch_layout) >= 0 &&
           avcodec_open2(encoder_.get(), codec, nullptr) >= 0;
}

/// decoder -> resampling to the encoder's rate, samples and frame length -> encoder.
void AudioRecoder::link_filters(AVRational source_base) {
    graph_.reset(avfilter_graph_alloc());
    TORCH_CHECK(graph_ != nullptr, "out of memory");
    graph_->nb_threads = 1;
    const std::string arrives =
        c10::str("sample_rate=", decoder_->sample_rate,
                 ":sample_fmt=", av_get_sample_fmt_name(decoder_->sample_fmt),
                 ":channel_layout=", layout_name(decoder_->ch_layout),
                 ":time_base=", source_base.num, "/", source_base.den);
    const std::string leaves =
        c10::str("aformat=sample_rates=", encoder_->sample_rate,
                 ":sample_fmts=", av_get_sample_fmt_name(encoder_->sample_fmt),
                 ":channel_layouts=", layout_name(encoder_->ch_layout));
    int code = avfilter_graph_create_filter(&source_, avfilter_get_by_name("abuffer"), "in",
                                            arrives.c_str(), nullptr, graph_.get());
    if (code >= 0)
        code = avfilter_graph_create_filter(&sink_, avfilter_get_by_name("abuffersink"), "out",
                                            nullptr, nullptr, graph_.get());
    AVFilterInOut* inputs = avfilter_inout_alloc();
    AVFilterInOut* outputs = avfilter_inout_alloc();
    TORCH_CHECK(code >= 0 && inputs != nullptr && outputs != nullptr, "no sound filter");
    *outputs = {.name = av_strdup("in"), .filter_ctx = source_, .pad_idx = 0, .next = nullptr};
    *inputs = {.name = av_strdup("out"), .filter_ctx = sink_, .pad_idx = 0, .next = nullptr};
    code = avfilter_graph_parse_ptr(graph_.get(), leaves.c_str(), &inputs, &outputs, nullptr);
    if (code >= 0)
        code = avfilter_graph_config(graph_.get(), nullptr);
    avfilter_inout_free(&inputs);
    avfilter_inout_free(&outputs);
    TORCH_CHECK(code >= 0, "no sound filter: ", error_text(code));
    if (encoder_->frame_size > 0)
        av_buffersink_set_frame_size(sink_, encoder_->frame_size);
}

void AudioRecoder::describe(AVStream& stream) const {
    const int code = avcodec_parameters_from_context(stream.codecpar, encoder_.get());
    TORCH_CHECK(code >= 0, "encoder gives no parameters: ", error_text(code));
    stream.time_base = encoder_->time_base;
}

/// Moves what the filter has finished into the encoder.
void AudioRecoder::pass_on() {
    const FrameHandle frame = make_frame();
    while (av_buffersink_get_frame(sink_, frame.get()) >= 0) {
        if (frame->pts != AV_NOPTS_VALUE)
            frame->pts =
                av_rescale_q(frame->pts, av_buffersink_get_time_base(sink_), encoder_->time_base);
        const int code = avcodec_send_frame(encoder_.get(), frame.get());
        TORCH_CHECK(code >= 0, "sound cannot be encoded: ", error_text(code));
        av_frame_unref(frame.get());
    }
}

void AudioRecoder::put(const AVPacket* packet) {
    const FrameHandle frame = make_frame();
    if (avcodec_send_packet(decoder_.get(), packet) < 0)
        return;
    int code = 0;
    while (code >= 0 && avcodec_receive_frame(decoder_.get(), frame.get()) >= 0) {
        frame->pts = frame->best_effort_timestamp;
        code = av_buffersrc_add_frame(source_, frame.get());
    }
    if (code >= 0 && packet == nullptr)
        code = av_buffersrc_add_frame(source_, nullptr);
    TORCH_CHECK(code >= 0, "sound cannot be resampled: ", error_text(code));
    pass_on();
    if (packet == nullptr)
        static_cast<void>(avcodec_send_frame(encoder_.get(), nullptr));
}

bool AudioRecoder::take(AVPacket& packet) {
    return avcodec_receive_packet(encoder_.get(), &packet) >= 0;
}

}  // namespace weft
