#include "io/media/libav.h"

#include <c10/util/Exception.h>

#include <array>
#include <cstdarg>
#include <cstring>
#include <limits>
#include <utility>

#include "io/files/error.h"

extern "C" {
#include <libavutil/log.h>
}

namespace weft {
namespace {

/// Values of an enum are 0 to count - 1. What a demuxer or decoder copied from a file may be any
/// number, which to read as the enum is undefined: H.264 may claim chroma siting 8.
template <typename Enum>
void forget_unknown(Enum& field, Enum count, Enum unspecified) {
    static_assert(sizeof(Enum) == sizeof(int));
    int value = 0;
    std::memcpy(&value, &field, sizeof value);
    if (value < 0 || value >= static_cast<int>(count))
        field = unspecified;
}

/// libav's log callback is one per process, so what it collects is too.
struct Log {
    std::mutex mutex;
    std::string first_error;
};

Log& log_store() {
    static Log log;
    return log;
}

/// What weft set as the `opaque` of a decoder or demuxer that logs; null for all else.
void* owner_of(void* context) {
    if (context == nullptr)
        return nullptr;
    const AVClass* kind = *static_cast<const AVClass**>(context);
    if (kind == avcodec_get_class())
        return static_cast<AVCodecContext*>(context)->opaque;
    return kind == avformat_get_class() ? static_cast<AVFormatContext*>(context)->opaque : nullptr;
}

void keep_first_error(void* context, int level, const char* format, va_list args) {
    if (level > AV_LOG_ERROR)
        return;
    std::array<char, 512> line{};
    std::vsnprintf(line.data(), line.size(), format, args);
    std::string text(line.data());
    while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.pop_back();
    for (char& c : text) {
        if (static_cast<unsigned char>(c) < ' ')
            c = ' ';
    }
    Log& log = log_store();
    const std::lock_guard lock(log.mutex);
    if (log.first_error.empty())
        log.first_error = text;
    if (void* owner = owner_of(context); owner != nullptr)
        static_cast<DecoderLog*>(owner)->add(text);
}

void install_log() {
    static const bool installed = [] {
        av_log_set_callback(keep_first_error);
        return true;
    }();
    static_cast<void>(installed);
}

template <typename T>
T* checked(T* p) {
    if (p == nullptr)
        throw Error("", "out of memory", "close other programs or work at a smaller size");
    return p;
}

}  // namespace

void LibavDelete::operator()(AVFormatContext* p) const {
    avformat_close_input(&p);
}

void LibavDelete::operator()(AVCodecContext* p) const {
    avcodec_free_context(&p);
}

void LibavDelete::operator()(AVFrame* p) const {
    av_frame_free(&p);
}

void LibavDelete::operator()(AVPacket* p) const {
    av_packet_free(&p);
}

void LibavDelete::operator()(SwsContext* p) const {
    sws_freeContext(p);
}

FrameHandle make_frame() {
    return FrameHandle(checked(av_frame_alloc()));
}

PacketHandle make_packet() {
    return PacketHandle(checked(av_packet_alloc()));
}

void clear_log() {
    install_log();
    Log& log = log_store();
    const std::lock_guard lock(log.mutex);
    log.first_error.clear();
}

std::string first_logged_error() {
    Log& log = log_store();
    const std::lock_guard lock(log.mutex);
    return log.first_error;
}

void DecoderLog::add(const std::string& line) {
    const std::lock_guard lock(mutex_);
    if (first_.empty())
        first_ = line;
}

std::string DecoderLog::take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(first_, {});
}

std::string error_text(int code) {
    std::array<char, AV_ERROR_MAX_STRING_SIZE> buffer{};
    av_strerror(code, buffer.data(), buffer.size());
    const std::string words(buffer.data());
    const std::string logged = first_logged_error();
    return logged.empty() ? words : logged + " (" + words + ")";
}

std::string file_url(const std::filesystem::path& path) {
    return "file:" + path.string();
}

AVRational to_av(const Rational& r) {
    AVRational result{0, 1};
    av_reduce(&result.num, &result.den, r.num(), r.den(), std::numeric_limits<int>::max());
    return result;
}

void forget_unknown_values(AVCodecParameters& parameters) {
    constexpr auto field_orders = static_cast<AVFieldOrder>(AV_FIELD_BT + 1);
    forget_unknown(parameters.field_order, field_orders, AV_FIELD_UNKNOWN);
    forget_unknown(parameters.color_space, AVCOL_SPC_NB, AVCOL_SPC_UNSPECIFIED);
    forget_unknown(parameters.color_primaries, AVCOL_PRI_NB, AVCOL_PRI_UNSPECIFIED);
    forget_unknown(parameters.color_trc, AVCOL_TRC_NB, AVCOL_TRC_UNSPECIFIED);
    forget_unknown(parameters.color_range, AVCOL_RANGE_NB, AVCOL_RANGE_UNSPECIFIED);
    forget_unknown(parameters.chroma_location, AVCHROMA_LOC_NB, AVCHROMA_LOC_UNSPECIFIED);
}

void forget_unknown_values(AVFrame& frame) {
    forget_unknown(frame.colorspace, AVCOL_SPC_NB, AVCOL_SPC_UNSPECIFIED);
    forget_unknown(frame.color_primaries, AVCOL_PRI_NB, AVCOL_PRI_UNSPECIFIED);
    forget_unknown(frame.color_trc, AVCOL_TRC_NB, AVCOL_TRC_UNSPECIFIED);
    forget_unknown(frame.color_range, AVCOL_RANGE_NB, AVCOL_RANGE_UNSPECIFIED);
    forget_unknown(frame.chroma_location, AVCHROMA_LOC_NB, AVCHROMA_LOC_UNSPECIFIED);
}

}  // namespace weft
