#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "diffusion/train/dice.h"

namespace weft {

using Rgb = std::array<double, 3>;  // 0..1

/// What can stand in a scene. The first `k_named_kinds` have names and colours in captions, the
/// rest is scenery.
enum class Kind {
    ball,
    box,
    star,
    heart,
    fish,
    boat,
    car,
    house,
    tree,
    flower,
    balloon,
    mushroom,
    cup,
    person,
    building,
    bush
};
constexpr size_t k_named_kinds = 13;

/// "ball", "box", ... in the order of Kind.
const std::vector<std::string>& kind_names();

struct NamedColour {
    std::string name;
    Rgb rgb;
};

/// red green blue yellow orange purple white black pink brown.
const std::vector<NamedColour>& colours();

/// One thing: where and what. Positions and sizes are in picture heights, y down, x from the left.
struct Thing {
    Kind kind = Kind::ball;
    size_t colour = 0;    // index in colours()
    Rgb rgb = {1, 1, 1};  // that colour, jittered
    double x = 0.5;
    double y = 0.5;
    double size = 0.2;  // about half the height
    double angle = 0;   // radians, small
    double light = 1;   // brightness of the surroundings, 0..1.2
    uint64_t seed = 0;  // windows, clothes, ...
};

/// colours()[colour] with a little variation; stays nameable.
Rgb jittered_colour(size_t colour, Dice& dice);

/// Pictures while they are painted, with the position of each px in picture heights.
struct Canvas {
    torch::Tensor picture;  // [n, 3, h, w]
    torch::Tensor x;        // [n, 1, 1, w]
    torch::Tensor y;        // [n, 1, h, 1]
    torch::Tensor px;       // [n, 1, 1, 1] height of a px

    /// The chosen pictures of the batch; `paste` brings them back.
    Canvas chosen(const torch::Tensor& rows) const;
    void paste(const torch::Tensor& rows, const Canvas& from);
};

/// Values of one number a picture: [n, 1, 1, 1].
torch::Tensor column_of(const std::vector<double>& values, const torch::Device& device);

/// Paints one thing on each picture of `canvas`, all of the same kind, anti-aliased and shaded,
/// with a soft shadow below it where `shadow` is not 0 (0..1).
void paint_things(Canvas& canvas, const std::vector<Thing>& things, double shadow);

}  // namespace weft
