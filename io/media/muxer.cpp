#include "io/media/muxer.h"

#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>

#include <cctype>
#include <cstring>

#include "io/files/error.h"
#include "io/media/writer.h"

namespace weft {
namespace {

bool holds_video(const AVOutputFormat* format) {
    return format != nullptr && (format->flags & AVFMT_NOFILE) == 0 &&
           format->video_codec != AV_CODEC_ID_NONE;
}

[[noreturn]] void fail(int code, const std::string& what, const std::string& name) {
    if (code == AVERROR(EPIPE))
        throw ClosedPipe(name, "was closed by its reader");
    throw Error(name, c10::str(what, ": ", error_text(code)),
                "free some space or choose another folder");
}

bool is_one_of(const AVFormatContext& output, std::initializer_list<const char*> names) {
    for (const char* name : names) {
        if (std::strcmp(output.oformat->name, name) == 0)
            return true;
    }
    return false;
}

}  // namespace

void OutputDelete::operator()(AVFormatContext* p) const {
    avio_closep(&p->pb);
    avformat_free_context(p);
}

const AVOutputFormat& container_for(const std::filesystem::path& path, bool pipe,
                                    const std::string& container) {
    const bool named = container != "auto";
    const std::string wanted = named ? container : "matroska";
    if (named || pipe) {
        const AVOutputFormat* format = av_guess_format(wanted.c_str(), nullptr, nullptr);
        if (!holds_video(format))
            throw UsageError("--container", c10::str("'", wanted, "' holds no video"),
                             "choose mp4, mov, matroska, webm, avi, nut, mpegts, yuv4mpegpipe ...");
        return *format;
    }
    std::string name = path.filename().string();
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const AVOutputFormat* format = av_guess_format(nullptr, name.c_str(), nullptr);
    if (!holds_video(format))
        throw Error(path.string(), "its ending names no video container",
                    "end it in .mp4, .mov, .mkv, .webm, .avi or .gif, or give --container");
    return *format;
}

OutputHandle open_output(const AVOutputFormat& format, const std::string& url,
                         const std::string& name) {
    clear_log();
    AVFormatContext* made = nullptr;
    int code = avformat_alloc_output_context2(&made, &format, nullptr, url.c_str());
    TORCH_CHECK(code >= 0, "no muxer: ", error_text(code));
    OutputHandle output(made);
    code = avio_open2(&output->pb, url.c_str(), AVIO_FLAG_WRITE, nullptr, nullptr);
    if (code < 0)
        fail(code, "cannot be written", name);
    return output;
}

void write_header(AVFormatContext& output, const Rational& time_base, const std::string& name) {
    Options options;
    const int64_t clock = time_base.den();
    const bool mp4 = is_one_of(output, {"mp4", "mov", "ipod", "3gp", "3g2"});
    if (mp4 && clock >= 1000 && clock <= 1'000'000)
        options.set("movie_timescale", std::to_string(clock));
    if (mp4 && (output.pb->seekable & AVIO_SEEKABLE_NORMAL) == 0)
        options.set("movflags", "frag_keyframe+empty_moov+default_base_moof");
    if (is_one_of(output, {"yuv4mpegpipe"}))
        output.strict_std_compliance = FF_COMPLIANCE_UNOFFICIAL;  // more than 8 bits
    clear_log();
    const int code = avformat_write_header(&output, options.address());
    if (code < 0)
        fail(code, "cannot be written", name);
}

void write_packet(AVFormatContext& output, AVPacket& packet, const std::string& name) {
    int code = av_interleaved_write_frame(&output, &packet);
    if (code >= 0 && output.pb != nullptr && output.pb->error < 0)
        code = output.pb->error;
    if (code < 0)
        fail(code, "cannot be written", name);
}

void write_trailer(AVFormatContext& output, const std::string& name) {
    int code = av_write_trailer(&output);
    if (code >= 0 && output.pb->error < 0)
        code = output.pb->error;
    const int closed = avio_closep(&output.pb);
    if (code < 0 || closed < 0)
        fail(code < 0 ? code : closed, "cannot be completed", name);
}

}  // namespace weft
