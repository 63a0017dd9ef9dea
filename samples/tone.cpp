#include "samples/tone.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numbers>
#include <stdexcept>
#include <string>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
}

namespace weft {
namespace {

constexpr int sample_rate = 44100;

void check(int result, const char* what) {
    if (result < 0) {
        throw std::runtime_error(std::string("tone: cannot ") + what);
    }
}

/// Loudness of a struck-glass chord at a time; left and right drift apart a little.
float chord(double time_s, double duration_s, int channel) {
    constexpr std::array notes_hz{220.0, 277.18, 329.63, 440.0};
    double sum = 0;
    for (size_t i = 0; i < notes_hz.size(); ++i) {
        const double detune = 1 + (channel == 0 ? 0.0006 : -0.0006);
        const double swell = 0.6 + 0.4 * std::sin(0.9 * time_s + static_cast<double>(i));
        sum += swell * std::sin(2 * std::numbers::pi * notes_hz.at(i) * detune * time_s);
    }
    const double edge = std::min({1.0, time_s / 0.5, (duration_s - time_s) / 0.8});
    return static_cast<float>(0.05 * sum * std::max(0.0, edge));
}

struct CloseOutput {
    void operator()(AVFormatContext* output) const {
        avio_closep(&output->pb);
        avformat_free_context(output);
    }
};

struct FreeCodec {
    void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
};

struct FreeFrame {
    void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};

struct FreePacket {
    void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};

using Output = std::unique_ptr<AVFormatContext, CloseOutput>;
using Codec = std::unique_ptr<AVCodecContext, FreeCodec>;
using Samples = std::unique_ptr<AVFrame, FreeFrame>;

Output open_output(const std::filesystem::path& path) {
    AVFormatContext* made = nullptr;
    check(avformat_alloc_output_context2(&made, nullptr, "mp4", path.c_str()), "make the file");
    Output output(made);
    check(avio_open(&output->pb, path.c_str(), AVIO_FLAG_WRITE), "write the file");
    return output;
}

Codec open_codec() {
    const AVCodec* found = avcodec_find_encoder(AV_CODEC_ID_AAC);
    if (found == nullptr) {
        throw std::runtime_error("tone: libav has no AAC encoder");
    }
    Codec codec(avcodec_alloc_context3(found));
    codec->sample_rate = sample_rate;
    codec->sample_fmt = AV_SAMPLE_FMT_FLTP;
    codec->bit_rate = 64000;
    codec->time_base = {1, sample_rate};
    codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    av_channel_layout_default(&codec->ch_layout, 2);
    check(avcodec_open2(codec.get(), found, nullptr), "open the AAC encoder");
    return codec;
}

Samples next_samples(const AVCodecContext& codec, int64_t first, double duration_s) {
    Samples samples(av_frame_alloc());
    samples->nb_samples = codec.frame_size;
    samples->format = codec.sample_fmt;
    samples->sample_rate = sample_rate;
    check(av_channel_layout_copy(&samples->ch_layout, &codec.ch_layout), "copy the layout");
    check(av_frame_get_buffer(samples.get(), 0), "get memory");
    samples->pts = first;
    for (int channel = 0; channel < 2; ++channel) {
        auto* values = reinterpret_cast<float*>(samples->data[channel]);
        for (int i = 0; i < codec.frame_size; ++i) {
            values[i] = chord(static_cast<double>(first + i) / sample_rate, duration_s, channel);
        }
    }
    return samples;
}

void write_ready(AVCodecContext& codec, AVFormatContext& output) {
    const std::unique_ptr<AVPacket, FreePacket> packet(av_packet_alloc());
    while (avcodec_receive_packet(&codec, packet.get()) == 0) {
        av_packet_rescale_ts(packet.get(), codec.time_base, output.streams[0]->time_base);
        check(av_interleaved_write_frame(&output, packet.get()), "write a packet");
    }
}

}  // namespace

void write_tone(const std::filesystem::path& path, double duration_s) {
    const auto output = open_output(path);
    const auto codec = open_codec();
    AVStream* stream = avformat_new_stream(output.get(), nullptr);
    check(avcodec_parameters_from_context(stream->codecpar, codec.get()), "describe the stream");
    output->flags |= AVFMT_FLAG_BITEXACT;
    check(avformat_write_header(output.get(), nullptr), "write the header");
    const auto count = static_cast<int64_t>(duration_s * sample_rate);
    for (int64_t first = 0; first < count; first += codec->frame_size) {
        const auto samples = next_samples(*codec, first, duration_s);
        check(avcodec_send_frame(codec.get(), samples.get()), "encode");
        write_ready(*codec, *output);
    }
    check(avcodec_send_frame(codec.get(), nullptr), "encode");
    write_ready(*codec, *output);
    check(av_write_trailer(output.get()), "finish the file");
}

}  // namespace weft
