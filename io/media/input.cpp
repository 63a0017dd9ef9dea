#include "io/media/input.h"

#include <c10/util/StringUtil.h>

#include <array>
#include <cmath>
#include <system_error>

#include "io/files/error.h"
#include "io/media/convert.h"
#include "io/media/exr.h"

extern "C" {
#include <libavutil/display.h>
}

namespace weft {
namespace fs = std::filesystem;

namespace {

/// Formats whose contents name further files or addresses, and text drawn as video.
bool is_barred_format(const std::string& name) {
    static const std::array<const char*, 14> barred = {"hls",  "concat", "dash", "imf",   "sdp",
                                                       "rtsp", "rtp",    "sap",  "tty",   "bin",
                                                       "xbin", "adf",    "idf",  "mpjpeg"};
    for (const char* entry : barred) {
        if (name == entry)
            return true;
    }
    return name.find("applehttp") != std::string::npos;
}

std::string allowed_formats() {
    std::string list;
    void* state = nullptr;
    while (const AVInputFormat* format = av_demuxer_iterate(&state)) {
        if (!is_barred_format(format->name))
            list += std::string(list.empty() ? "" : ",") + format->name;
    }
    return list;
}

void check_file(const fs::path& path) {
    std::error_code failure;
    const fs::file_status status = fs::status(path, failure);
    if (!fs::exists(status))
        throw Error(path.string(), "does not exist", "check the name");
    if (fs::is_directory(status))
        throw Error(path.string(), "is a folder", "name a media file");
    if (!fs::is_regular_file(status))
        throw Error(path.string(), "is no regular file", "name a media file");
    if (fs::file_size(path, failure) == 0)
        throw Error(path.string(), "is empty", "choose another file");
}

/// Probes the streams, telling each decoder the pixel limit before it sees data.
void probe_streams(AVFormatContext& input, const fs::path& path, int64_t max_pixels) {
    const size_t count = input.nb_streams;
    std::vector<AVDictionary*> options(count, nullptr);
    for (AVDictionary*& entry : options) av_dict_set_int(&entry, "max_pixels", max_pixels, 0);
    const int code = avformat_find_stream_info(&input, options.empty() ? nullptr : options.data());
    for (AVDictionary*& entry : options) av_dict_free(&entry);
    if (code < 0)
        throw Error(path.string(), "cannot be read: " + error_text(code),
                    "check that the file is whole");
    for (unsigned i = 0; i < input.nb_streams; ++i)
        forget_unknown_values(*input.streams[i]->codecpar);
}

/// Fills how stored pictures must be turned; other angles than quarter turns are left alone.
void read_rotation(const AVStream& stream, StreamInfo& info) {
    const uint8_t* data = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, nullptr);
    if (data == nullptr)
        return;
    std::array<int32_t, 9> matrix{};
    std::memcpy(matrix.data(), data, sizeof matrix);
    const double determinant =
        static_cast<double>(matrix[0]) * matrix[4] - static_cast<double>(matrix[1]) * matrix[3];
    if (determinant < 0) {
        info.mirrored = true;
        av_display_matrix_flip(matrix.data(), 1, 0);
    }
    const double angle = -av_display_rotation_get(matrix.data());
    if (std::isnan(angle))
        return;
    const int64_t quarters = std::llround(angle / 90);
    if (std::abs(angle - 90.0 * static_cast<double>(quarters)) < 1)
        info.rotation = static_cast<int>((quarters % 4 + 4) % 4 * 90);
}

ColorTag stream_color(const AVCodecParameters& parameters, AVPixelFormat format) {
    const FrameHandle frame = make_frame();
    frame->format = format;
    frame->colorspace = parameters.color_space;
    frame->color_primaries = parameters.color_primaries;
    frame->color_trc = parameters.color_trc;
    frame->color_range = parameters.color_range;
    frame->chroma_location = parameters.chroma_location;
    return frame_color(*frame);
}

/// The length by Matroska's tag "00:00:03.003000000", which is where the stream ends; zero where
/// there is none.
Time tagged_duration(const AVStream& stream) {
    const AVDictionaryEntry* tag = av_dict_get(stream.metadata, "DURATION", nullptr, 0);
    if (tag == nullptr)
        return {};
    try {
        const Time end = Position::parse(tag->value, "DURATION").time;
        const bool late = stream.start_time != AV_NOPTS_VALUE && stream.start_time > 0;
        return late ? end - Time::of(stream.start_time, from_av(stream.time_base)) : end;
    } catch (const UsageError&) {
        return {};  // a tag of another meaning
    }
}

Time stream_duration(const AVFormatContext& input, const AVStream& stream) {
    if (declared_duration(stream) > Time())
        return declared_duration(stream);
    if (input.duration != AV_NOPTS_VALUE && input.duration > 0)
        return Time::of(input.duration, {1, AV_TIME_BASE});
    return {};
}

std::string kind_of(const AVStream& stream) {
    const char* name = av_get_media_type_string(stream.codecpar->codec_type);
    return name != nullptr ? name : "unknown";
}

std::string tag_value(const AVDictionary* tags, const char* key) {
    const AVDictionaryEntry* entry = av_dict_get(tags, key, nullptr, 0);
    return entry != nullptr ? entry->value : "";
}

/// True for VP8 and VP9 whose alpha travels beside the picture (WebM's AlphaMode).
bool has_separate_alpha(const AVStream& stream) {
    const AVCodecID codec = stream.codecpar->codec_id;
    return (codec == AV_CODEC_ID_VP8 || codec == AV_CODEC_ID_VP9) &&
           tag_value(stream.metadata, "alpha_mode") == "1";
}

/// Opens a file, or with a prepared context what its I/O brings. libav frees the context on
/// failure.
InputHandle open_context(AVFormatContext* context, const fs::path& path, int64_t max_pixels) {
    clear_log();
    Options options;
    options.set("protocol_whitelist", "file");
    options.set("format_whitelist", allowed_formats());
    if (context == nullptr)
        options.set("pattern_type", "none");
    const std::string url = context == nullptr ? file_url(path) : std::string();
    const int code = avformat_open_input(&context, url.c_str(), nullptr, options.address());
    if (code == AVERROR(EACCES))
        throw Error(path.string(), "may not be read", "check its permissions");
    if (code < 0)
        throw Error(path.string(), "is no media file weft can read: " + error_text(code),
                    "check that the file is whole and a video");
    InputHandle input(context);
    probe_streams(*input, path, max_pixels);
    return input;
}

/// Where the chroma samples of a picture lie after it is turned by 90 or 270 degrees, so that it
/// can be written without sampling them anew; what has no name stays.
ChromaLocation turned_siting(ChromaLocation siting, int rotation, int64_t width) {
    const bool left = siting == ChromaLocation::left;
    if (rotation == 90) {
        if (siting == ChromaLocation::bottom)
            return ChromaLocation::left;
        return left ? ChromaLocation::top
                    : (siting == ChromaLocation::bottom_left ? ChromaLocation::top_left : siting);
    }
    if (siting == ChromaLocation::top)
        return ChromaLocation::left;
    if (siting == ChromaLocation::top_left)
        return width % 2 == 0 ? ChromaLocation::bottom_left : ChromaLocation::top_left;
    return left ? (width % 2 == 0 ? ChromaLocation::bottom : ChromaLocation::top) : siting;
}

/// What players guess from the stored size is said, as the turned one would suggest another.
void turn_color(const AVCodecParameters& parameters, StreamInfo& info) {
    const ColorTag guess = resolved(info.color, parameters.width, parameters.height);
    const AVPixFmtDescriptor& layout =
        *av_pix_fmt_desc_get(static_cast<AVPixelFormat>(parameters.format));
    info.color.matrix = guess.matrix;
    if (layout.log2_chroma_w == 1 && layout.log2_chroma_h == 1 && !info.mirrored)
        info.color.chroma = turned_siting(guess.chroma, info.rotation, parameters.width);
}

void fill_timing(const AVFormatContext& input, AVStream& stream, StreamInfo& info) {
    info.frame_rate = from_av(stream.avg_frame_rate);
    if (info.frame_rate.is_zero())
        info.frame_rate = from_av(stream.r_frame_rate);
    info.time_base = from_av(stream.time_base);
    if (stream.start_time != AV_NOPTS_VALUE)
        info.start = Time::of(stream.start_time, info.time_base);
    info.duration = stream_duration(input, stream);
    info.frames = stream.nb_frames > 0
                      ? stream.nb_frames
                      : std::llround(info.duration.seconds() * info.frame_rate.value());
}

}  // namespace

InputHandle open_input(const fs::path& path, int64_t max_pixels) {
    check_file(path);
    return open_context(nullptr, path, max_pixels);
}

InputHandle open_input(PipeInput& pipe, const fs::path& path, int64_t max_pixels) {
    try {
        AVFormatContext* context = avformat_alloc_context();
        TORCH_CHECK(context != nullptr, "out of memory");
        context->pb = pipe.io();
        return open_context(context, path, max_pixels);
    } catch (const Error&) {
        if (pipe.stopped())
            throw Interrupted("the pipe was not read to its end");
        throw;
    }
}

Time declared_duration(const AVStream& stream) {
    if (stream.duration != AV_NOPTS_VALUE && stream.duration > 0)
        return Time::of(stream.duration, from_av(stream.time_base));
    return tagged_duration(stream);
}

const AVCodec* decoder_for(const AVStream& stream) {
    const AVCodecID codec = stream.codecpar->codec_id;
    if (has_separate_alpha(stream)) {
        const char* name = codec == AV_CODEC_ID_VP9 ? "libvpx-vp9" : "libvpx";
        if (const AVCodec* decoder = avcodec_find_decoder_by_name(name))
            return decoder;
    }
    return avcodec_find_decoder(codec);
}

int main_video_stream(const AVFormatContext& input) {
    int best = -1;
    int64_t best_score = -1;
    for (unsigned i = 0; i < input.nb_streams; ++i) {
        const AVStream& stream = *input.streams[i];
        constexpr int still = AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS;
        if (stream.codecpar->codec_type != AVMEDIA_TYPE_VIDEO || (stream.disposition & still) != 0)
            continue;
        const bool chosen = (stream.disposition & AV_DISPOSITION_DEFAULT) != 0;
        const int64_t area = int64_t{stream.codecpar->width} * stream.codecpar->height;
        const int64_t score = area + (chosen ? int64_t{1} << 40 : 0);
        if (score > best_score) {
            best_score = score;
            best = static_cast<int>(i);
        }
    }
    return best;
}

StreamInfo stream_info(const AVFormatContext& input, int index, const fs::path& path) {
    AVStream& stream = *input.streams[index];
    const AVCodecParameters& parameters = *stream.codecpar;
    StreamInfo info;
    info.path = path;
    info.container = input.iformat->name;
    info.codec = avcodec_get_name(parameters.codec_id);
    read_rotation(stream, info);
    const bool turned = info.rotation % 180 != 0;
    info.width = turned ? parameters.height : parameters.width;
    info.height = turned ? parameters.width : parameters.height;
    auto& probed = const_cast<AVFormatContext&>(input);
    info.sar = from_av(av_guess_sample_aspect_ratio(&probed, &stream, nullptr));
    if (turned && !info.sar.is_zero())
        info.sar = info.sar.inverse();
    fill_timing(input, stream, info);
    const AVPixelFormat format = has_separate_alpha(stream)
                                     ? AV_PIX_FMT_YUVA420P
                                     : static_cast<AVPixelFormat>(parameters.format);
    if (av_pix_fmt_desc_get(format) != nullptr) {
        info.pixel_format = av_get_pix_fmt_name(format);
        info.bit_depth =
            parameters.codec_id == AV_CODEC_ID_EXR ? exr_channel_bits(path) : format_depth(format);
        info.is_float = (av_pix_fmt_desc_get(format)->flags & AV_PIX_FMT_FLAG_FLOAT) != 0;
        info.has_alpha = has_alpha_plane(format);
        info.color = stream_color(parameters, format);
        if (turned && !is_rgb_format(format))
            turn_color(parameters, info);
    }
    info.interlaced = parameters.field_order > AV_FIELD_PROGRESSIVE;
    for (unsigned i = 0; i < input.nb_streams; ++i) {
        if (static_cast<int>(i) != index)
            info.others.push_back(side_stream(*input.streams[i]));
    }
    return info;
}

SideStream side_stream(const AVStream& stream) {
    const AVCodecParameters& parameters = *stream.codecpar;
    SideStream side{.index = stream.index,
                    .kind = kind_of(stream),
                    .codec = avcodec_get_name(parameters.codec_id),
                    .language = tag_value(stream.metadata, "language"),
                    .sample_rate = parameters.sample_rate,
                    .channels = parameters.ch_layout.nb_channels,
                    .duration = declared_duration(stream),
                    .is_default = (stream.disposition & AV_DISPOSITION_DEFAULT) != 0};
    return side;
}

}  // namespace weft
