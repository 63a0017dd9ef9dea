#include "io/media/packets.h"

#include <c10/util/StringUtil.h>

#include <cstring>

#include "io/media/input.h"

namespace weft {
namespace {

/// Where a stream says it ends.
std::optional<Time> declared_end(const AVStream& stream) {
    const Time duration = declared_duration(stream);
    if (duration <= Time())
        return std::nullopt;
    const int64_t start = stream.start_time == AV_NOPTS_VALUE ? 0 : stream.start_time;
    return Time::of(start, from_av(stream.time_base)) + duration;
}

bool format_is(const AVFormatContext& input, const char* name) {
    return std::strstr(input.iformat->name, name) != nullptr;
}

std::string cut_message(const Time& end, const Time& declared) {
    return c10::str("the file ends early, at ", to_string(end), " of ", to_string(declared));
}

}  // namespace

PacketReader::PacketReader(AVFormatContext& input, int stream, LiveStreams* others)
    : input_(input), stream_(stream), others_(others), packet_(make_packet()) {}

void PacketReader::note(const AVPacket& packet) {
    const int64_t stamp = packet.pts != AV_NOPTS_VALUE ? packet.pts : packet.dts;
    if (stamp == AV_NOPTS_VALUE)
        return;
    const Rational base = from_av(input_.streams[packet.stream_index]->time_base);
    const Time end = Time::of(stamp + std::max<int64_t>(0, packet.duration), base);
    if (!file_end_ || end > *file_end_)
        file_end_ = end;
    if (packet.stream_index == stream_ && (!video_end_ || end > *video_end_))
        video_end_ = end;
}

const AVPacket* PacketReader::next() {
    problem_.clear();
    while (true) {
        av_packet_unref(packet_.get());
        const int code = av_read_frame(&input_, packet_.get());
        if (code < 0) {
            if (code != AVERROR_EOF)
                problem_ = error_text(code);
            else if (input_.pb != nullptr && input_.pb->error < 0)
                problem_ = error_text(input_.pb->error);
            return nullptr;
        }
        note(*packet_);
        if (packet_->stream_index != stream_) {
            if (others_ != nullptr)
                others_->push(*packet_);
            continue;
        }
        ++packets_;
        if ((packet_->flags & AV_PKT_FLAG_CORRUPT) != 0)
            problem_ = "a packet is incomplete";
        return packet_.get();
    }
}

void PacketReader::pass_others(const Time& end) {
    const Time beyond = end + Time(1, 1);  // streams are interleaved to within a second
    while (others_ != nullptr && av_read_frame(&input_, packet_.get()) >= 0) {
        const Rational base = from_av(input_.streams[packet_->stream_index]->time_base);
        const bool past = packet_->dts != AV_NOPTS_VALUE && Time::of(packet_->dts, base) > beyond;
        if (packet_->stream_index != stream_)
            others_->push(*packet_);
        av_packet_unref(packet_.get());
        if (past)
            return;
    }
}

std::string PacketReader::shortfall() const {
    const AVStream& stream = *input_.streams[stream_];
    if (format_is(input_, "mov") || format_is(input_, "avi")) {
        const int64_t promised = avformat_index_get_entries_count(&stream);
        if (packets_ < promised)
            return c10::str("the file ends early, after ", packets_, " of ", promised, " frames");
    }
    // Two frames of slack: declared lengths are rounded, and the last one's is often guessed.
    const Rational rate = from_av(stream.avg_frame_rate);
    const Time slack = Time(rate.is_zero() ? Rational(1, 10) : Rational(2) / rate);
    const std::optional<Time> declared = declared_end(stream);
    if (declared && video_end_ && *video_end_ + slack < *declared &&
        input_.duration_estimation_method == AVFMT_DURATION_FROM_STREAM)
        return cut_message(*video_end_, *declared);
    const bool knows_length = input_.duration != AV_NOPTS_VALUE && input_.duration > 0 &&
                              input_.duration_estimation_method == AVFMT_DURATION_FROM_STREAM;
    if (!declared && knows_length && file_end_) {
        const int64_t start = input_.start_time == AV_NOPTS_VALUE ? 0 : input_.start_time;
        const Time end = Time::of(start + input_.duration, {1, AV_TIME_BASE});
        if (*file_end_ + slack + Time(1, 2) < end)
            return cut_message(*file_end_, end);
    }
    return {};
}

}  // namespace weft
