#pragma once

#include <torch/types.h>

#include <memory>
#include <string>

#include "io/media/frame.h"

namespace weft {

/// Between the pictures of a clip and what a model knows: RGB of a display, 0..1. Shows the former
/// as the latter and takes the model's edit back as a gain over the source, so that what lies above
/// white, below black or outside the display's colours survives. Thread-safe: yes (immutable).
class PictureMap {
  public:
    PictureMap() = default;
    PictureMap(const PictureMap&) = delete;
    PictureMap& operator=(const PictureMap&) = delete;
    virtual ~PictureMap() = default;

    /// @param source [3, h, w] as read from the clip
    /// @return [3, h, w] 0..1
    virtual torch::Tensor shown(const torch::Tensor& source) const = 0;

    /// The source with what the edit changed; where `edited` equals `shown`, the source itself.
    /// @param shown, edited [3, h, w] as shown() gives
    /// @return [3, h, w] as it is to be written
    virtual torch::Tensor returned(const torch::Tensor& source, const torch::Tensor& shown,
                                   const torch::Tensor& edited) const = 0;

    /// What the map does, as a text for digests; empty where the clip's tags say it all.
    virtual std::string key() const { return {}; }

    /// What the written clip is, where returned() gives another kind of picture than the source.
    virtual StreamInfo written(StreamInfo source) const { return source; }
};

/// How the numbers of a clip stand for colours, where its tags do not say it.
struct ColorChoice {
    /// OpenColorIO configuration: a file, a folder that holds config.ocio, or "builtin"; empty:
    /// $OCIO, else the built-in one.
    std::string ocio;
    /// IN[:MODEL[:OUT]], names of that configuration: of the clip, of what the model sees (empty:
    /// sRGB) and of what is written (default: IN). Empty: the clip's tags count.
    std::string colorspace;
};

/// The map a clip needs: through a configuration's colour spaces where `choice` names one, else by
/// its tags (PQ, HLG, floating point; hdr.h); null where its pictures are shown as they are.
/// @throws Error where the configuration or a table it names cannot be read, UsageError for a space
///         it does not have
std::unique_ptr<const PictureMap> make_picture_map(const StreamInfo& info,
                                                   const ColorChoice& choice);

/// What is wrong with the text of a ColorChoice::colorspace; empty where nothing is. Names are not
/// looked up.
std::string colorspace_problem(const std::string& text);

}  // namespace weft
