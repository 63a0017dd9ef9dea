#include "diffusion/train/edits.h"

#include <algorithm>
#include <array>
#include <vector>

namespace weft {
namespace {

const std::string& kind_name(const Thing& thing) {
    return kind_names()[static_cast<size_t>(thing.kind)];
}

/// A scene with at least one thing that is large enough to be named.
Scene scene_with_thing(uint64_t seed, double aspect) {
    for (uint64_t attempt = 0;; ++attempt) {
        auto scene = attempt < 8 ? random_scene(seed + attempt * 0x51ed27ULL, aspect)
                                 : simple_scene(seed, aspect);
        if (!scene.things.empty() && scene.zoom == 1) {
            scene.things.resize(std::min<size_t>(scene.things.size(), 2));
            return scene;
        }
    }
}

/// A scene with a sky and the whole view.
Scene open_scene(uint64_t seed, double aspect) {
    auto scene = random_scene(seed, aspect);
    for (uint64_t attempt = 1; !has_sky(scene.place); ++attempt) {
        scene = random_scene(seed + attempt * 0x51ed27ULL, aspect);
    }
    scene.zoom = 1;
    scene.shift_x = scene.shift_y = 0;
    return scene;
}

SceneEdit recolour(uint64_t seed, double aspect, Dice& dice) {
    SceneEdit edit;
    edit.before = scene_with_thing(seed, aspect);
    edit.after = edit.before;
    auto& thing = edit.after.things.back();
    thing.colour = (thing.colour + 1 + dice.below(colours().size() - 1)) % colours().size();
    thing.rgb = jittered_colour(thing.colour, dice);
    const auto& name = colours()[thing.colour].name;
    edit.text = (dice.chance(0.5) ? "make the " : "paint the ") + kind_name(thing) + " " + name;
    return edit;
}

SceneEdit remove_thing(uint64_t seed, double aspect, Dice& dice) {
    SceneEdit edit;
    edit.before = scene_with_thing(seed, aspect);
    edit.after = edit.before;
    edit.text =
        (dice.chance(0.7) ? "remove the " : "take away the ") + kind_name(edit.after.things.back());
    edit.after.things.pop_back();
    return edit;
}

SceneEdit add_thing(uint64_t seed, double aspect, Dice& dice) {
    SceneEdit edit;
    edit.after = scene_with_thing(seed, aspect);
    edit.before = edit.after;
    edit.before.things.pop_back();
    edit.text = (dice.chance(0.7) ? "add " : "put in ") + thing_words(edit.after.things.back());
    return edit;
}

SceneEdit change_sky(uint64_t seed, double aspect, Dice& dice) {
    static const std::array<std::string, 4> words = {"a blue sky", "a sunset sky", "a night sky",
                                                     "a grey sky"};
    SceneEdit edit;
    edit.before = open_scene(seed, aspect);
    edit.after = edit.before;
    edit.after.sky =
        static_cast<Sky>((static_cast<size_t>(edit.before.sky) + 1 + dice.below(3)) % 4);
    // Things stand in half the light at night.
    const double light =
        (edit.after.sky == Sky::night ? 0.5 : 1.0) / (edit.before.sky == Sky::night ? 0.5 : 1.0);
    for (auto* list : {&edit.after.things, &edit.after.decor}) {
        for (auto& thing : *list) {
            thing.light *= light;
        }
    }
    edit.text = (dice.chance(0.5) ? "give it " : "change the sky to ") +
                words[static_cast<size_t>(edit.after.sky)];
    return edit;
}

SceneEdit change_ground(uint64_t seed, double aspect, Dice& dice) {
    static const std::array<std::string, 5> words = {"green grass", "a field", "sand", "snow",
                                                     "water"};
    SceneEdit edit;
    edit.before = open_scene(seed, aspect);
    edit.after = edit.before;
    do {
        edit.after.place = static_cast<Place>(dice.below(5));
    } while (edit.after.place == edit.before.place);
    edit.text = (dice.chance(0.5) ? "cover the ground with " : "change the ground to ") +
                words[static_cast<size_t>(edit.after.place)];
    return edit;
}

SceneEdit change_background(uint64_t seed, double aspect, Dice& dice) {
    SceneEdit edit;
    edit.before = simple_scene(seed, aspect);
    edit.before.place = Place::plain;
    edit.before.lens = random_scene(seed, aspect).lens;
    edit.after = edit.before;
    edit.after.ground_colour =
        (edit.before.ground_colour + 1 + dice.below(colours().size() - 1)) % colours().size();
    edit.text = "make the background " + colours()[edit.after.ground_colour].name;
    return edit;
}

}  // namespace

SceneEdit random_edit(uint64_t seed, double aspect) {
    static constexpr std::array k_kinds = {recolour,   recolour,      remove_thing,     add_thing,
                                           change_sky, change_ground, change_background};
    Dice dice(seed, /*purpose=*/77);
    return dice.pick(k_kinds)(seed, aspect, dice);
}

}  // namespace weft
