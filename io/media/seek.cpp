#include "io/media/seek.h"

#include <algorithm>

#include "io/media/input.h"

namespace weft {
namespace {

/// Frames are shown at most this many packets after they are stored (H.264 and HEVC: 16).
constexpr size_t reorder_packets = 32;
/// Fewer packets than this are decoded rather than passed over.
constexpr int64_t near_packets = 60;

struct Entry {
    int64_t pts;
    bool key;
};

/// The pts of `from`, once enough packets are known to be sure of it.
std::optional<int64_t> target_of(const std::vector<Entry>& entries, const Position& from,
                                 const Rational& time_base) {
    if (entries.size() <= reorder_packets)
        return std::nullopt;
    std::vector<int64_t> times;
    times.reserve(entries.size());
    for (const Entry& entry : entries) times.push_back(entry.pts);
    std::sort(times.begin(), times.end());
    const size_t sure = times.size() - reorder_packets;
    if (from.frame)
        return static_cast<size_t>(*from.frame) < sure ? std::optional(times[*from.frame])
                                                       : std::nullopt;
    for (size_t i = 0; i < sure; ++i) {
        if (Time::of(times[i] - times[0], time_base) >= from.time)
            return times[i];
    }
    return std::nullopt;
}

/// The packets up to `from` and a little further; empty where they do not tell.
std::vector<Entry> scan(AVFormatContext& input, int stream, const Position& from) {
    for (unsigned i = 0; i < input.nb_streams; ++i)
        input.streams[i]->discard =
            static_cast<int>(i) == stream ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    const Rational base = from_av(input.streams[stream]->time_base);
    const PacketHandle packet = make_packet();
    std::vector<Entry> entries;
    size_t margin = 0;
    while (margin < 2 * reorder_packets && av_read_frame(&input, packet.get()) >= 0) {
        const bool ours = packet->stream_index == stream;
        const int hidden = packet->flags & (AV_PKT_FLAG_DISCARD | AV_PKT_FLAG_CORRUPT);
        if (ours && (packet->pts == AV_NOPTS_VALUE || hidden != 0))
            return {};
        if (ours) {
            entries.push_back({packet->pts, (packet->flags & AV_PKT_FLAG_KEY) != 0});
            const bool passed =
                from.frame ? static_cast<int64_t>(entries.size()) > *from.frame
                           : Time::of(packet->pts - entries.front().pts, base) >= from.time;
            margin += passed ? 1 : 0;
        }
        av_packet_unref(packet.get());
    }
    return entries;
}

}  // namespace

int64_t SeekPlan::index_of(int64_t pts) const {
    return std::lower_bound(times.begin(), times.end(), pts) - times.begin();
}

std::optional<SeekPlan> plan_seek(const std::filesystem::path& path, int stream,
                                  const Position& from) {
    const InputHandle input = open_input(path);
    const std::vector<Entry> entries = scan(*input, stream, from);
    const auto target = target_of(entries, from, from_av(input->streams[stream]->time_base));
    if (!target)
        return std::nullopt;
    SeekPlan plan{.packets_before = 0, .start = *target, .times = {}};
    for (size_t i = 0; i < entries.size(); ++i) {
        plan.times.push_back(entries[i].pts);
        if (entries[i].key && entries[i].pts <= *target)
            plan.packets_before = static_cast<int64_t>(i);
    }
    std::sort(plan.times.begin(), plan.times.end());
    const bool repeated =
        std::adjacent_find(plan.times.begin(), plan.times.end()) != plan.times.end();
    if (repeated || plan.packets_before < near_packets)
        return std::nullopt;
    return plan;
}

}  // namespace weft
