#include "diffusion/train/scenes.h"

#include <algorithm>
#include <array>

namespace weft {
namespace {

// Purposes of the dice of a scene, so that one choice does not move the others.
enum : uint64_t { k_place = 1, k_things, k_decor, k_lens, k_view };

Place random_place(Dice& dice) {
    constexpr std::array<double, 11> k_shares = {0.08, 0.08, 0.08, 0.08, 0.08, 0.10,
                                                 0.13, 0.08, 0.14, 0.05, 0.10};
    double left = dice.uniform();
    for (size_t i = 0; i < k_shares.size(); ++i) {
        left -= k_shares[i];
        if (left < 0) {
            return static_cast<Place>(i);
        }
    }
    return Place::smooth;
}

Sky random_sky(Dice& dice) {
    const double at = dice.uniform();
    return at < 0.5 ? Sky::blue : (at < 0.65 ? Sky::sunset : (at < 0.78 ? Sky::night : Sky::grey));
}

double daylight(const Scene& scene) {
    if (!has_sky(scene.place)) {
        return 1.0;
    }
    return scene.sky == Sky::night ? 0.5 : (scene.sky == Sky::grey ? 0.9 : 1.0);
}

void set_place(Scene& scene, Dice& dice) {
    scene.sky = random_sky(dice);
    scene.horizon = scene.place == Place::room ? dice.uniform(0.6, 0.8) : dice.uniform(0.38, 0.68);
    scene.ground_colour = dice.below(colours().size());
    scene.clouds = dice.chance(0.5);
    scene.sun = dice.chance(scene.sky == Sky::sunset ? 0.9 : 0.35);
    scene.mountains = scene.place != Place::street && dice.chance(0.35);
}

Thing random_thing(Dice& dice, double light) {
    Thing thing;
    thing.kind = static_cast<Kind>(dice.below(k_named_kinds));
    thing.colour = dice.below(colours().size());
    thing.rgb = jittered_colour(thing.colour, dice);
    thing.angle = 0.12 * dice.normal();
    thing.light = light;
    thing.seed = dice.next();
    return thing;
}

/// Trees, bushes, people and buildings at the depth of their feet: the nearer, the lower and
/// larger.
void add_decor(Scene& scene, double aspect) {
    Dice dice(scene.seed, k_decor);
    const bool open = scene.place <= Place::snow;
    const bool street = scene.place == Place::street;
    const size_t houses =
        street ? 3 + dice.below(4) : (open && dice.chance(0.15) ? 1 + dice.below(3) : 0);
    const size_t plants = open ? dice.below(5) : (street ? dice.below(3) : 0);
    const double crowd = street ? 0.7 : (scene.place == Place::room ? 0.5 : (open ? 0.3 : 0.12));
    const size_t people = dice.chance(crowd) ? 1 + dice.below(2) : 0;
    const auto add = [&](Kind kind, const Rgb& rgb, double size, double feet) {
        Thing thing{.kind = kind, .rgb = rgb, .size = size};
        thing.x = dice.uniform(-0.05, aspect + 0.05);
        thing.y = feet - size;
        thing.light = daylight(scene) * dice.uniform(0.75, 1.05);
        thing.seed = dice.next();
        scene.decor.push_back(thing);
    };
    for (size_t k = 0; k < houses; ++k) {
        const double grey = dice.uniform(0.25, 0.85);
        const Rgb wall = {grey + 0.06 * dice.normal(), grey + 0.03 * dice.normal(),
                          grey + 0.06 * dice.normal()};
        add(Kind::building, wall, dice.uniform(0.12, 0.38), scene.horizon + 0.02);
    }
    for (size_t k = 0; k < plants; ++k) {
        const Rgb leaf = {dice.uniform(0.1, 0.35), dice.uniform(0.3, 0.6),
                          dice.uniform(0.08, 0.25)};
        const double depth = dice.uniform();
        add(dice.chance(0.65) ? Kind::tree : Kind::bush, leaf, 0.05 + 0.17 * depth,
            scene.horizon + 0.05 + 0.3 * depth);
    }
    for (size_t k = 0; k < people; ++k) {
        const Rgb shirt = dice.chance(0.5)
                              ? jittered_colour(dice.below(colours().size()), dice)
                              : Rgb{0.05 + dice.uniform(0, 0.7), 0.05 + dice.uniform(0, 0.7),
                                    0.05 + dice.uniform(0, 0.7)};
        const double size =
            scene.place == Place::room ? dice.uniform(0.25, 0.6) : dice.uniform(0.08, 0.3);
        add(Kind::person, shirt, size, std::max(scene.horizon + 0.4 * size, 0.55) + size * 0.6);
    }
}

Lens random_lens(uint64_t seed) {
    Dice dice(seed, k_lens);
    Lens lens;
    lens.blur = dice.chance(0.35) ? dice.uniform(2, 14) : 0;
    lens.depth = dice.chance(0.25) ? dice.uniform(8, 40) : 0;
    lens.vignette = dice.chance(0.25) ? dice.uniform(0.1, 0.5) : 0;
    if (dice.chance(0.5)) {
        lens.exposure = dice.uniform(0.55, 1.3);
        lens.contrast = dice.uniform(0.5, 1.15);
        lens.saturation = dice.uniform(0.25, 1.1);
        const double warmth = 0.07 * dice.normal();
        lens.cast = {1 + warmth, 1.0, 1 - warmth};
    }
    lens.noise = dice.chance(0.5) ? dice.uniform(0.003, 0.028) : 0;
    lens.blocks = dice.chance(0.2) ? dice.uniform(0.05, 0.25) : 0;
    return lens;
}

void set_view(Scene& scene, double aspect) {
    Dice dice(scene.seed, k_view);
    if (!dice.chance(0.5)) {
        return;
    }
    scene.zoom = dice.uniform(0.35, 1.0);
    scene.shift_x = dice.uniform(0, (1 - scene.zoom) * aspect);
    scene.shift_y = dice.uniform(0, 1 - scene.zoom);
}

std::string place_words(const Scene& scene) {
    static const std::array<std::string, 11> places = {
        "green hills", "a field",   "a desert",           "a snowy field",
        "the sea",     "a street",  "in a room",          "",
        "shapes",      "a texture", "a smooth background"};
    static const std::array<std::string, 4> skies = {" under a blue sky", " at sunset",
                                                     " under a night sky", " under a grey sky"};
    const auto& place = places[static_cast<size_t>(scene.place)];
    if (scene.place == Place::plain) {
        const auto& colour = colours()[scene.ground_colour].name;
        return (colour == "orange" ? "on an " : "on a ") + colour + " background";
    }
    if (scene.place == Place::room) {
        return place;
    }
    const std::string link =
        scene.things.empty()
            ? ""
            : (scene.place == Place::sea || scene.place >= Place::street ? "on " : "in ");
    const std::string hills = scene.mountains && has_sky(scene.place)
                                  ? (scene.things.empty() ? "mountains and " : "")
                                  : "";
    return link + hills + place +
           (has_sky(scene.place) ? skies[static_cast<size_t>(scene.sky)] : "");
}

}  // namespace

Scene random_scene(uint64_t seed, double aspect) {
    Scene scene;
    scene.seed = seed;
    Dice dice(seed, k_place);
    scene.place = random_place(dice);
    set_place(scene, dice);
    add_decor(scene, aspect);
    Dice thing_dice(seed, k_things);
    const bool bare = scene.place == Place::plain || scene.place == Place::room;
    const size_t count = bare ? 1 + thing_dice.below(3) : thing_dice.below(3);
    for (size_t k = 0; k < count; ++k) {
        auto thing = random_thing(thing_dice, daylight(scene));
        thing.size = thing_dice.uniform(0.07, 0.24);
        thing.x = thing_dice.uniform(0.15, 0.85) * aspect;
        thing.y = thing_dice.uniform(0.35, 0.85);
        scene.things.push_back(thing);
    }
    set_view(scene, aspect);
    scene.lens = random_lens(seed);
    return scene;
}

Scene simple_scene(uint64_t seed, double aspect) {
    Scene scene;
    scene.seed = seed;
    Dice dice(seed, k_place);
    scene.place = dice.chance(0.6) ? Place::plain : static_cast<Place>(dice.below(7));
    set_place(scene, dice);
    scene.sky = scene.sky == Sky::night && dice.chance(0.6) ? Sky::blue : scene.sky;
    Dice thing_dice(seed, k_things);
    auto thing = random_thing(thing_dice, daylight(scene));
    thing.size = thing_dice.uniform(0.22, 0.34);
    thing.x = aspect * (0.5 + 0.05 * thing_dice.normal());
    thing.y = 0.54 + 0.05 * thing_dice.normal();
    if (thing.colour == scene.ground_colour) {
        scene.ground_colour =
            (thing.colour + 1 + thing_dice.below(colours().size() - 1)) % colours().size();
    }
    scene.things.push_back(thing);
    return scene;
}

std::string thing_words(const Thing& thing) {
    const auto& colour = colours()[thing.colour].name;
    return (colour == "orange" ? "an " : "a ") + colour + " " +
           kind_names()[static_cast<size_t>(thing.kind)];
}

std::string caption(const Scene& scene) {
    std::string words;
    for (const auto& thing : scene.things) {
        words += (words.empty() ? "" : " and ") + thing_words(thing);
    }
    const auto place = place_words(scene);
    return words + (words.empty() || place.empty() ? "" : " ") + place;
}

}  // namespace weft
