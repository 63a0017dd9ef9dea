#include "io/media/light_metadata.h"

#include <array>
#include <cstring>
#include <utility>

#include "io/media/input.h"

namespace weft {
namespace {

constexpr int most_packets = 200;

CodecHandle opened_decoder(const AVStream& stream) {
    const AVCodec* codec = decoder_for(stream);
    CodecHandle decoder(codec != nullptr ? avcodec_alloc_context3(codec) : nullptr);
    if (decoder == nullptr || avcodec_parameters_to_context(decoder.get(), stream.codecpar) < 0)
        return nullptr;
    decoder->thread_count = 1;
    return avcodec_open2(decoder.get(), codec, nullptr) >= 0 ? std::move(decoder) : nullptr;
}

/// The first picture of a stream; null where none decodes.
FrameHandle first_picture(AVFormatContext& input, int stream) {
    const CodecHandle decoder = opened_decoder(*input.streams[stream]);
    const PacketHandle packet = make_packet();
    FrameHandle frame = make_frame();
    for (int i = 0; decoder != nullptr && i < most_packets; ++i) {
        av_packet_unref(packet.get());
        const bool read = av_read_frame(&input, packet.get()) >= 0;
        if (read && packet->stream_index != stream)
            continue;
        static_cast<void>(avcodec_send_packet(decoder.get(), read ? packet.get() : nullptr));
        if (avcodec_receive_frame(decoder.get(), frame.get()) >= 0)
            return frame;
        if (!read)
            break;
    }
    return nullptr;
}

}  // namespace

void copy_light_metadata(AVFormatContext& input, int stream, AVStream& to) {
    const FrameHandle picture = first_picture(input, stream);
    if (picture == nullptr)
        return;
    constexpr std::array kinds = {
        std::pair(AV_FRAME_DATA_MASTERING_DISPLAY_METADATA, AV_PKT_DATA_MASTERING_DISPLAY_METADATA),
        std::pair(AV_FRAME_DATA_CONTENT_LIGHT_LEVEL, AV_PKT_DATA_CONTENT_LIGHT_LEVEL)};
    for (const auto& [of_frame, of_stream] : kinds) {
        const AVFrameSideData* data = av_frame_get_side_data(picture.get(), of_frame);
        if (data == nullptr || av_stream_get_side_data(&to, of_stream, nullptr) != nullptr)
            continue;
        uint8_t* place = av_stream_new_side_data(&to, of_stream, data->size);
        if (place != nullptr)
            std::memcpy(place, data->data, data->size);
    }
}

}  // namespace weft
