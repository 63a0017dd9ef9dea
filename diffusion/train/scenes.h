#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "diffusion/train/things.h"

namespace weft {

/// Where a scene plays. The first five have a sky.
enum class Place { hills, field, desert, snow, sea, street, room, plain, leaves, texture, smooth };
enum class Sky { blue, sunset, night, grey };

inline bool has_sky(Place place) {
    return place <= Place::street;
}

/// How the picture was taken; all harmless at their defaults.
struct Lens {
    double blur = 0;        // sigma in 1/1000 of the height
    double depth = 0;       // the same, of all that lies behind the things
    double vignette = 0;    // darkening of the corners, 0..0.5
    double exposure = 1;    // gain, 0.5..1.4
    double contrast = 1;    // around mid grey, 0.4..1.2
    double saturation = 1;  // 0..1.2
    Rgb cast = {1, 1, 1};   // colour of the light
    double noise = 0;       // deviation of sensor noise, 0..0.03
    double blocks = 0;      // share of 8 px block means mixed in, 0..0.25
};

/// One picture as data: `draw_scenes` gives its pixels. What an edit changes is a field; all the
/// rest follows from `seed`, so two scenes that differ in a field differ in that alone.
struct Scene {
    uint64_t seed = 0;
    Place place = Place::plain;
    Sky sky = Sky::blue;
    double horizon = 0.55;     // in picture heights from the top
    size_t ground_colour = 6;  // index in colours() of a plain ground
    bool clouds = false;
    bool sun = false;
    bool mountains = false;
    double zoom = 1;            // height of the view, below 1 shows less and larger
    double shift_x = 0;         // left border of the view
    double shift_y = 0;         // upper border of the view
    std::vector<Thing> decor;   // trees, people, buildings: behind, not in the caption
    std::vector<Thing> things;  // in the caption
    Lens lens;
};

/// A scene of the mixed kind. Places: hills, field, desert, snow 8 % each, sea 8 %, street 10 %,
/// room 13 %, plain 8 %, leaves 14 %, texture 5 %, smooth 10 %; 0..3 things; half of them zoomed
/// in, a third blurred, dim or low in contrast. `aspect` is width / height.
Scene random_scene(uint64_t seed, double aspect);

/// One large, nearly centred thing on a plain (60 %) or scenic ground, no zoom, a clean lens.
Scene simple_scene(uint64_t seed, double aspect);

/// "a red ball and a blue box in a field under a blue sky".
std::string caption(const Scene& scene);

/// "a red ball", "an orange box".
std::string thing_words(const Thing& thing);

/// Pixels of the scenes: [n, 3, height, width] in 0..1. Thread-safe: yes.
torch::Tensor draw_scenes(const std::vector<Scene>& scenes, int64_t height, int64_t width,
                          const torch::Device& device);

/// Adds each lens's sensor noise and block means to its picture.
torch::Tensor camera_noise(const torch::Tensor& pictures, const std::vector<Scene>& scenes);

}  // namespace weft
