#pragma once

#include <torch/types.h>

#include <functional>
#include <vector>

#include "diffusion/train/pixels.h"
#include "diffusion/train/scenes.h"

namespace weft {

/// A group of scenes while their backdrop is painted: pixels and parameters side by side.
/// Thread-safe: no.
struct Layer {
    Canvas canvas;
    std::vector<Scene> scenes;

    /// Independent dice of a scene for each `part` of its backdrop.
    static Dice dice(const Scene& scene, uint64_t part) { return {scene.seed, 100 + part}; }

    torch::Device device() const { return canvas.picture.device(); }

    /// One number a scene: [n, 1, 1, 1].
    torch::Tensor number(const std::function<double(const Scene&)>& value) const;

    /// Uniform in low..high, drawn per scene: [n, 1, 1, 1].
    torch::Tensor drawn(uint64_t part, double low, double high) const;

    /// 1 with `probability`, otherwise 0, drawn per scene: [n, 1, 1, 1].
    torch::Tensor chance(uint64_t part, double probability) const;

    /// One colour a scene: [n, 3, 1, 1].
    torch::Tensor colour(const std::function<Rgb(const Scene&)>& value) const;

    /// [n, 1, h, w], about 0..1.
    torch::Tensor texture(uint64_t part, const FractalShape& shape) const;

    /// A rough line over x, about -1..1, with `bumps` along a picture height: [n, 1, 1, w].
    torch::Tensor line(uint64_t part, double bumps, bool ridged) const;

    /// 1 below y = `height`, anti-aliased.
    torch::Tensor below(const torch::Tensor& height) const;

    /// 1 where `distance` (in picture heights) is negative, anti-aliased.
    torch::Tensor inside(const torch::Tensor& distance) const;

    /// Lays `colour` over the picture with opacity `alpha`.
    void blend(const torch::Tensor& colour, const torch::Tensor& alpha);
};

/// `rgb` with every channel moved by a normal draw.
Rgb varied(const Rgb& rgb, double deviation, Dice& dice);

/// Sky, sun, clouds, mountains and the ground below them.
void paint_landscape(Layer& layer);

/// A road between pavements under the sky.
void paint_street(Layer& layer);

/// Wall, floor, a window or picture, at times a table.
void paint_room(Layer& layer);

/// One of the named colours, softly lit.
void paint_plain(Layer& layer);

/// "Dead leaves": overlapping shapes with power-law sizes, the statistics of natural images (Lee,
/// Mumford and Huang 2001).
void paint_leaves(Layer& layer);

/// A rough fractal texture of three colours.
void paint_texture(Layer& layer);

/// Large soft regions of low contrast: walls, skin, sky out of focus.
void paint_smooth(Layer& layer);

}  // namespace weft
