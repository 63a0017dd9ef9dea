#include "io/media/writer.h"

#include <utility>

#include "io/media/clip_muxer.h"
#include "io/media/location.h"
#include "io/media/sequence.h"

namespace weft {
namespace fs = std::filesystem;

namespace {

class VideoWriter final : public FrameSink {
  public:
    VideoWriter(const fs::path& path, const StreamInfo& info, const WriteOptions& options)
        : muxer_(path, info, options),
          encoder_(info, options, muxer_.format(), path.string()),
          packet_(make_packet()) {
        muxer_.start(encoder_);
    }

    void put(const Frame& frame) override {
        encoder_.put(frame);
        drain();
    }

    void finish() override {
        encoder_.flush();
        drain();
        muxer_.finish(encoder_.start(), encoder_.end());
    }

    std::vector<std::string> warnings() const override {
        std::vector<std::string> list = muxer_.warnings();
        for (std::string& warning : encoder_.warnings()) list.push_back(std::move(warning));
        return list;
    }

  private:
    void drain() {
        while (encoder_.receive(*packet_)) muxer_.put(*packet_);
    }

    ClipMuxer muxer_;
    ClipEncoder encoder_;
    PacketHandle packet_;
};

}  // namespace

std::unique_ptr<FrameSink> create_video(const fs::path& path, const StreamInfo& info,
                                        const WriteOptions& options) {
    const Location location =
        locate_output(path, options.codec == "auto" ? ".png" : "." + options.codec);
    const bool pictures = location.kind == Location::Kind::sequence ||
                          (names_picture(path) && options.container == "auto");
    if (pictures)
        return create_pictures(location, info, options);
    return std::make_unique<VideoWriter>(path, info, options);
}

}  // namespace weft
