#include "io/media/picture_map.h"

#include "io/files/error.h"
#include "io/media/color_config.h"
#include "io/media/hdr.h"
#include "io/media/scene_map.h"

namespace weft {
namespace {

/// "a:b:c" at its colons.
std::vector<std::string> parts_of(const std::string& text) {
    std::vector<std::string> parts(1);
    for (const char c : text) {
        if (c == ':')
            parts.emplace_back();
        else
            parts.back() += c;
    }
    return parts;
}

std::unique_ptr<const PictureMap> scene_map(const ColorChoice& choice) {
    const ColorConfig config = ColorConfig::open(choice.ocio);
    std::vector<std::string> names = parts_of(choice.colorspace);
    names.resize(3);
    const std::string in = config.space(names[0]);
    const std::string model = names[1].empty() ? config.display_space() : config.space(names[1]);
    const std::string out = names[2].empty() ? in : config.space(names[2]);
    return std::make_unique<SceneMap>(config, SceneSpaces{.in = in, .model = model, .out = out});
}

}  // namespace

std::string colorspace_problem(const std::string& text) {
    const std::vector<std::string> parts = parts_of(text);
    const bool named = !parts.front().empty() && (parts.size() < 3 || !parts.back().empty());
    return named && parts.size() <= 3
               ? std::string()
               : "'" + text + "' is not IN[:MODEL[:OUT]]; write ACEScg or ACEScg:sRGB:ACES2065-1";
}

std::unique_ptr<const PictureMap> make_picture_map(const StreamInfo& info,
                                                   const ColorChoice& choice) {
    if (!choice.colorspace.empty())
        return scene_map(choice);
    if (needs_hdr_map(info))
        return std::make_unique<HdrMap>(info.color);
    return nullptr;
}

}  // namespace weft
