#include "diffusion/train/styles.h"

#include <c10/util/Exception.h>

#include <algorithm>

#include "diffusion/train/drawn_styles.h"
#include "diffusion/train/toned_styles.h"

namespace weft {

const std::vector<StyleEntry>& styles() {
    static const std::vector<StyleEntry> table = {
        {"pencil sketch", {"pencil drawing", "sketch"}, 1.5, pencil_sketch},
        {"watercolor painting",
         {"watercolor", "watercolour painting", "aquarelle"},
         1.5,
         watercolor_painting},
        {"oil painting", {"oil on canvas", "thick oil paint"}, 1.5, oil_painting},
        {"comic book", {"comic", "cartoon"}, 1.3, comic_book},
        {"neon", {"neon lights", "neon glow"}, 1.5, neon_lines},
        {"night", {"at night", "moonlight"}, 1.2, night},
        {"sunset", {"golden hour", "at dusk"}, 1.2, sunset},
        {"winter snow", {"winter", "snowy"}, 1.5, winter_snow},
        {"sepia vintage", {"sepia", "vintage photo", "old photograph"}, 0.8, sepia_vintage},
        {"charcoal drawing", {"charcoal"}, 1.2, charcoal_drawing},
        {"pixel art", {"8 bit", "retro game"}, 0.9, pixel_art},
        {"blueprint", {"technical drawing"}, 1.2, blueprint},
        {"thermal camera", {"infrared", "heat map"}, 0.8, thermal_camera},
        {"black and white", {"monochrome", "grayscale"}, 0.8, black_and_white},
        {"poster", {"screen print", "pop art"}, 1.1, poster},
        {"fog", {"foggy", "in the mist"}, 0.8, fog},
        {"autumn", {"fall colors", "autumn leaves"}, 0.8, autumn},
        {"mosaic", {"mosaic tiles"}, 0.8, mosaic},
        {"halftone", {"newspaper print"}, 0.8, halftone},
        {"cyberpunk", {"synthwave"}, 0.8, cyberpunk},
    };
    return table;
}

const StyleEntry& style(const std::string& name) {
    const auto& table = styles();
    const auto found = std::find_if(table.begin(), table.end(), [&](const StyleEntry& entry) {
        return entry.name == name ||
               std::find(entry.aliases.begin(), entry.aliases.end(), name) != entry.aliases.end();
    });
    TORCH_CHECK(found != table.end(), "no style is named '", name, "'");
    return *found;
}

}  // namespace weft
