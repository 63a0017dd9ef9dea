#include "io/media/live_streams.h"

#include <c10/util/Exception.h>

#include <cstring>
#include <utility>

#include "io/files/error.h"

namespace weft {
namespace {

constexpr int64_t most_waiting_bytes = int64_t{256} << 20;

void copy_stream(const AVStream& from, AVFormatContext& to) {
    AVStream* stream = avformat_new_stream(&to, nullptr);
    TORCH_CHECK(stream != nullptr, "out of memory");
    TORCH_CHECK(avcodec_parameters_copy(stream->codecpar, from.codecpar) >= 0, "out of memory");
    stream->time_base = from.time_base;
    stream->avg_frame_rate = from.avg_frame_rate;
    stream->sample_aspect_ratio = from.sample_aspect_ratio;
    stream->disposition = from.disposition;
    av_dict_copy(&stream->metadata, from.metadata, 0);
    for (int i = 0; i < from.nb_side_data; ++i) {
        const AVPacketSideData& data = from.side_data[i];
        uint8_t* place = av_stream_new_side_data(stream, data.type, data.size);
        if (place != nullptr)
            std::memcpy(place, data.data, data.size);
    }
}

/// Copies what a file holds beside packets.
InputHandle described(const AVFormatContext& from) {
    InputHandle copy(avformat_alloc_context());
    TORCH_CHECK(copy != nullptr, "out of memory");
    for (unsigned i = 0; i < from.nb_streams; ++i) copy_stream(*from.streams[i], *copy);
    av_dict_copy(&copy->metadata, from.metadata, 0);
    if (from.nb_chapters == 0)
        return copy;
    copy->chapters = static_cast<AVChapter**>(av_mallocz(from.nb_chapters * sizeof(AVChapter*)));
    TORCH_CHECK(copy->chapters != nullptr, "out of memory");
    for (unsigned i = 0; i < from.nb_chapters; ++i) {
        auto* chapter = static_cast<AVChapter*>(av_mallocz(sizeof(AVChapter)));
        TORCH_CHECK(chapter != nullptr, "out of memory");
        *chapter = *from.chapters[i];
        chapter->metadata = nullptr;
        av_dict_copy(&chapter->metadata, from.chapters[i]->metadata, 0);
        copy->chapters[copy->nb_chapters++] = chapter;
    }
    return copy;
}

}  // namespace

LiveStreams::LiveStreams(const AVFormatContext& input, int picture)
    : streams_(described(input)), picture_(picture) {}

InputHandle LiveStreams::describe() const {
    return described(*streams_);
}

void LiveStreams::push(const AVPacket& packet) {
    if (packet.stream_index < 0 || packet.stream_index >= static_cast<int>(streams_->nb_streams))
        return;  // a stream that began later: the output's streams are fixed by then
    PacketHandle kept(av_packet_clone(&packet));
    TORCH_CHECK(kept != nullptr, "out of memory");
    const std::lock_guard lock(mutex_);
    waiting_bytes_ += packet.size;
    if (waiting_bytes_ > most_waiting_bytes)
        throw Error("-", "its sound and picture lie too far apart to be kept in memory",
                    "write the pipe to a file first");
    packets_.push_back(std::move(kept));
}

bool LiveStreams::pop(AVPacket& packet) {
    const std::lock_guard lock(mutex_);
    if (packets_.empty())
        return false;
    av_packet_unref(&packet);
    av_packet_move_ref(&packet, packets_.front().get());
    waiting_bytes_ -= packet.size;
    packets_.pop_front();
    return true;
}

}  // namespace weft
