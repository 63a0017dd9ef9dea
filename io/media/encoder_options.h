#pragma once

// What a user adds to the options of an encoder, for sources of io/media only.

#include <map>
#include <optional>
#include <string>

#include "io/media/libav.h"

namespace weft {

/// The pairs of --encoder-opts.
class EncoderOptions {
  public:
    /// @param text "key=value:key=value". Throws UsageError where it is not that.
    explicit EncoderOptions(const std::string& text);

    /// The pix_fmt among them; none where there is none. Throws UsageError where the codec does not
    /// take it.
    std::optional<AVPixelFormat> pixel_format(const AVCodec& codec) const;
    /// Adds the others; they replace what is there, but x264-params and x265-params are appended.
    void add_to(Options& dictionary) const;

  private:
    std::map<std::string, std::string> pairs_;
};

/// Throws UsageError for what is left of the options after a codec was opened: it knows no such.
void refuse_unused(Options& dictionary, const AVCodec& codec);

}  // namespace weft
