#include "io/media/segments.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include "io/files/error.h"
#include "io/media/clip_muxer.h"
#include "io/media/location.h"
#include "io/media/packet_file.h"

namespace weft {
namespace fs = std::filesystem;

namespace {

/// The container of a file that is not opened yet.
const AVOutputFormat& format_of(const fs::path& out, const WriteOptions& options) {
    return container_for(out, /*pipe=*/false, options.container);
}

struct ParametersDelete {
    void operator()(AVFormatContext* p) const { avformat_free_context(p); }
};

/// The stream's parameters as text.
std::string description_of(const ClipEncoder& encoder) {
    const std::unique_ptr<AVFormatContext, ParametersDelete> holder(avformat_alloc_context());
    TORCH_CHECK(holder != nullptr, "out of memory");
    AVStream* stream = avformat_new_stream(holder.get(), nullptr);
    TORCH_CHECK(stream != nullptr, "out of memory");
    encoder.describe(*stream);
    const AVCodecParameters& p = *stream->codecpar;
    constexpr std::string_view digits = "0123456789abcdef";
    std::string headers;
    for (int i = 0; i < p.extradata_size; ++i) {
        headers += digits[p.extradata[i] >> 4];
        headers += digits[p.extradata[i] & 15];
    }
    return c10::str(avcodec_get_name(p.codec_id), " ", p.format, " ", p.width, "x", p.height, " ",
                    p.color_range, " ", p.color_space, " ", p.color_primaries, " ", p.color_trc,
                    " ", p.chroma_location, " ", p.profile, " ", p.sample_aspect_ratio.num, ":",
                    p.sample_aspect_ratio.den, " ", encoder.time_base().num(), "/",
                    encoder.time_base().den(), " ", headers);
}

class SegmentWriter final : public FrameSink {
  public:
    SegmentWriter(const fs::path& file, const fs::path& out, const StreamInfo& info,
                  const WriteOptions& options, const std::string& digest)
        : encoder_(info, options, format_of(out, options), out.string()),
          file_(file, digest, description_of(encoder_)),
          packet_(make_packet()) {}

    void put(const Frame& frame) override {
        encoder_.put(frame);
        drain();
    }

    void finish() override {
        encoder_.flush();
        drain();
        file_.finish({.start = encoder_.start(),
                      .end = encoder_.end(),
                      .lost_alpha = encoder_.lost_alpha()});
    }

  private:
    void drain() {
        while (encoder_.receive(*packet_)) {
            file_.put(*packet_);
            av_packet_unref(packet_.get());
        }
    }

    ClipEncoder encoder_;
    PacketFileWriter file_;
    PacketHandle packet_;
};

/// Presentation times of a whole clip, in the order of decoding and in the order they are shown.
struct ClipTimes {
    std::vector<int64_t> shown;  // rising
    int64_t reordering = 0;      // the most places a packet comes before its turn
};

/// Adds a segment's times. Throws Error naming `file` where they do not follow on.
void add_times(ClipTimes& clip, const std::vector<int64_t>& decoded, const fs::path& file) {
    std::vector<int64_t> sorted = decoded;
    std::sort(sorted.begin(), sorted.end());
    const bool doubled = std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end();
    if (doubled || (!clip.shown.empty() && sorted.front() <= clip.shown.back()))
        throw Error(file.string(), "does not follow on the segment before it",
                    "run again with --restart");
    for (size_t i = 0; i < decoded.size(); ++i) {
        const auto rank = std::lower_bound(sorted.begin(), sorted.end(), decoded[i]);
        clip.reordering =
            std::max(clip.reordering, static_cast<int64_t>(i) - (rank - sorted.begin()));
    }
    clip.shown.insert(clip.shown.end(), sorted.begin(), sorted.end());
}

/// Decoding time of the n-th packet; see Note [Segments].
int64_t decoding_time(const ClipTimes& clip, int64_t n) {
    const int64_t place = n - clip.reordering;
    if (place >= 0)
        return clip.shown[static_cast<size_t>(place)];
    const int64_t step = clip.shown.size() > 1 ? clip.shown[1] - clip.shown[0] : 1;
    return clip.shown.front() + place * step;
}

void throw_if_stopped(const std::atomic<bool>* stop, const fs::path& out) {
    if (stop != nullptr && stop->load())
        throw Interrupted(c10::str("'", out.string(), "' was not joined"));
}

/// Checks that all files belong to this stream, and collects their times.
ClipTimes times_of(const std::vector<fs::path>& files, const std::string& description) {
    ClipTimes clip;
    for (const fs::path& file : files) {
        PacketFileReader reader(file);
        if (reader.description() != description)
            throw Error(file.string(), "was encoded with other settings than OUT asks for",
                        "give OUT the ending, --codec and options that it was made with");
        add_times(clip, reader.times(), file);
    }
    return clip;
}

}  // namespace

bool can_join(const fs::path& out, const StreamInfo& info, const WriteOptions& options) {
    const bool picture = names_picture(out) && options.container == "auto";
    if (picture || locate_output(out).kind != Location::Kind::file)
        return false;
    const AVOutputFormat& format = format_of(out, options);
    const ClipEncoder encoder(info, options, format, out.string());
    const std::string codec = find_codec(options.codec, format).name;
    return codec != "gif" && std::strcmp(format.name, "yuv4mpegpipe") != 0;
}

std::string describe_stream(const fs::path& out, const StreamInfo& info,
                            const WriteOptions& options) {
    return description_of(ClipEncoder(info, options, format_of(out, options), out.string()));
}

std::unique_ptr<FrameSink> create_segment(const fs::path& file, const fs::path& out,
                                          const StreamInfo& info, const WriteOptions& options,
                                          const std::string& digest) {
    return std::make_unique<SegmentWriter>(file, out, info, options, digest);
}

std::optional<std::string> segment_digest(const fs::path& file) {
    std::error_code ignored;
    if (!fs::exists(file, ignored))
        return std::nullopt;
    try {
        return PacketFileReader(file).digest();
    } catch (const Error&) {
        return std::nullopt;
    }
}

JoinWarnings join_segments(const fs::path& out, const StreamInfo& info, const WriteOptions& options,
                           const std::vector<fs::path>& files, const std::atomic<bool>* stop) {
    TORCH_CHECK(!files.empty(), "a clip of no segments");
    ClipMuxer muxer(out, info, options);
    const ClipEncoder encoder(info, options, muxer.format(), out.string());
    const ClipTimes clip = times_of(files, description_of(encoder));
    muxer.start(encoder);
    const PacketHandle packet = make_packet();
    JoinWarnings warnings = encoder.warnings();
    std::optional<Time> start;
    Time end;
    bool lost_alpha = false;
    int64_t n = 0;
    for (const fs::path& file : files) {
        PacketFileReader reader(file);
        while (reader.next(*packet)) {
            throw_if_stopped(stop, out);
            packet->dts = decoding_time(clip, n++);
            muxer.put(*packet);
        }
        start = start.value_or(reader.summary().start);
        end = reader.summary().end;
        lost_alpha = lost_alpha || reader.summary().lost_alpha;
    }
    muxer.finish(*start, end);
    if (lost_alpha)
        warnings.emplace_back(lost_alpha_warning);
    for (std::string& warning : muxer.warnings()) warnings.push_back(std::move(warning));
    return warnings;
}

}  // namespace weft
