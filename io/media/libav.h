#pragma once

// The border to FFmpeg's libraries, for sources of io/media only: owning handles, error texts, the
// log, and conversions of small types.

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "io/media/time.h"

namespace weft {

struct LibavDelete {
    void operator()(AVFormatContext* p) const;  // of an opened input
    void operator()(AVCodecContext* p) const;
    void operator()(AVFrame* p) const;
    void operator()(AVPacket* p) const;
    void operator()(SwsContext* p) const;
};

using InputHandle = std::unique_ptr<AVFormatContext, LibavDelete>;
using CodecHandle = std::unique_ptr<AVCodecContext, LibavDelete>;
using FrameHandle = std::unique_ptr<AVFrame, LibavDelete>;
using PacketHandle = std::unique_ptr<AVPacket, LibavDelete>;
using ScalerHandle = std::unique_ptr<SwsContext, LibavDelete>;

FrameHandle make_frame();
PacketHandle make_packet();

/// An option dictionary that is freed with its scope.
class Options {
  public:
    Options() = default;
    Options(const Options&) = delete;
    Options& operator=(const Options&) = delete;

    ~Options() { av_dict_free(&dict_); }

    void set(const char* key, const std::string& value) {
        av_dict_set(&dict_, key, value.c_str(), 0);
    }

    AVDictionary** address() { return &dict_; }

  private:
    AVDictionary* dict_ = nullptr;
};

/// Routes libav's log away from stderr (once a process) and keeps the first error line since the
/// last clear_log(); other clips open at the same time may contribute it. Thread-safe: yes.
void clear_log();
/// That line without its newline, empty where none was logged.
std::string first_logged_error();

/// Collects the errors of one decoder or demuxer: set its context's `opaque` to this. They report
/// some damage (a wrong checksum, a concealed slice, packets passed over) by a log line only.
/// Thread-safe: yes.
class DecoderLog {
  public:
    void add(const std::string& line);
    /// The first line since the last call, empty where there was none.
    std::string take();

  private:
    std::mutex mutex_;
    std::string first_;
};

/// Sets what libav took from a file unseen, its colour tags and order of fields, to unspecified where
/// it is no value of its enum, so that it can be read as one.
void forget_unknown_values(AVCodecParameters& parameters);
void forget_unknown_values(AVFrame& frame);

/// libav's words for an error code, led by the first logged error where there is one.
std::string error_text(int code);

/// "file:PATH", so that a name such as "a:b.mp4" is no protocol.
std::string file_url(const std::filesystem::path& path);

inline Rational from_av(AVRational r) {
    return r.den == 0 ? Rational() : Rational(r.num, r.den);
}

/// Nearest libav fraction (exact while both terms fit an int).
AVRational to_av(const Rational& r);

}  // namespace weft
