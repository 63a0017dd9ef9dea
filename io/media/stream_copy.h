#pragma once

// Carrying the streams beside the picture from one file to another, for sources of io/media only.

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/media/audio_recoder.h"
#include "io/media/libav.h"
#include "io/media/live_streams.h"
#include "io/media/writer.h"

namespace weft {

/// Copies audio, subtitles, covers, attachments, chapters and tags of `side_source` into an output,
/// packet by packet and untouched, in step with the picture so that memory stays bounded. Sound the
/// container cannot hold is encoded anew where it has a codec for it, the rest is left out; either
/// gives a warning. Thread-safe: no.
class StreamCopy {
  public:
    /// Adds the streams to `output` (before its header is written), with the tags of the picture's
    /// stream on `video`.
    /// @param live the streams of a pipe, read instead of options.side_source; may be null
    StreamCopy(const WriteOptions& options, AVFormatContext& output, AVStream& video,
               std::shared_ptr<LiveStreams> live = nullptr);

    /// Writes all packets up to `time` of the output's clock.
    void write_until(const Time& time);
    /// Writes the rest; with `end` (on the output's clock) only what starts before it.
    void finish(const std::optional<Time>& end);

    const std::vector<std::string>& warnings() const { return warnings_; }

  private:
    int read(AVPacket& packet);
    void describe_picture(AVStream& video);
    void prepare_reading();
    void add_streams();
    void add_stream(const AVStream& source);
    void add_attachment(const AVStream& source);
    void add_recoded(const AVStream& source, std::unique_ptr<AudioRecoder> recoder);
    AVStream& new_stream(const AVStream& source);
    bool can_hold(const AVStream& source) const;
    void copy_chapters();
    void declare_priming();
    void reopen();
    bool advance();
    bool place(AVPacket& packet) const;
    void write();
    void recode(const AVPacket* packet, int stream);

    std::filesystem::path path_;
    std::shared_ptr<LiveStreams> live_;
    AVFormatContext& output_;
    InputHandle input_;
    int main_video_ = -1;
    Time from_;
    bool cut_start_ = false;
    std::optional<Time> to_;
    std::vector<int> target_;  // by stream of the input: stream of the output, or -1
    std::map<int, std::unique_ptr<AudioRecoder>> recoders_;  // by stream of the input
    PacketHandle pending_;
    Time pending_time_;  // on the output's clock
    bool has_pending_ = false;
    bool ended_ = false;
    std::vector<std::string> warnings_;
};

}  // namespace weft
