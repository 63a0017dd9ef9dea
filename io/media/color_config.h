#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/media/color.h"

namespace weft {

/// One colour space of a configuration.
struct ColorSpaceEntry {
    std::string name;
    std::vector<std::string> aliases;
    std::string description;  // one line
};

/// Turns colours of one space into those of another. A null one changes nothing. Rows are shared
/// among LibTorch's threads; the result does not depend on their number. Thread-safe: yes.
/// @param rgb [3, h, w]; NaN counts as 0, infinities as the largest finite numbers
/// @return a new [3, h, w], float32; nothing is clipped but what a space itself clips
using ColorTransform = std::function<torch::Tensor(const torch::Tensor& rgb)>;

/// The colour spaces of an OpenColorIO configuration. Thread-safe: yes (immutable).
class ColorConfig {
  public:
    /// @param choice as ColorChoice::ocio. Throws Error where it is no configuration.
    static ColorConfig open(const std::string& choice);

    /// Path of the configuration, or "builtin".
    const std::string& name() const;
    std::vector<ColorSpaceEntry> spaces() const;
    /// The space with this name, alias or role, upper and lower case alike. Throws UsageError,
    /// naming the nearest, where there is none or it holds no colour.
    std::string space(const std::string& text) const;
    /// The space of linear light that pictures are computed in (role scene_linear). Throws Error
    /// where the configuration names none.
    std::string linear_space() const;
    /// The space of pictures for a display, what painters work in (role matte_paint or
    /// color_picking, else sRGB by its usual names). Throws UsageError where there is none.
    std::string display_space() const;

    /// @param from, to names of spaces. Throws Error where the configuration cannot go that way, a
    ///                 table (LUT) is missing or is none that weft lets through (lut_check.h)
    ColorTransform transform(const std::string& from, const std::string& to) const;

    /// What that transform does, as a text: the same for transforms that do the same, whatever
    /// their tables' files are called. Throws as transform().
    std::string transform_key(const std::string& from, const std::string& to) const;

    /// Matrix, primaries and transfer of a video in this space; nullopt where nobody knows.
    std::optional<ColorTag> tag_of(const std::string& space) const;

  private:
    struct Library;    // keeps OpenColorIO's headers out of this one
    struct Processor;  // likewise

    Processor processor(const std::string& from, const std::string& to) const;

    explicit ColorConfig(std::shared_ptr<const Library> library);

    std::shared_ptr<const Library> library_;
};

}  // namespace weft
