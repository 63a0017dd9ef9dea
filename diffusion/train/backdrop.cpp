#include "diffusion/train/backdrop.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "diffusion/train/layer.h"

namespace weft {
namespace {

using torch::Tensor;

// Parts of a backdrop that draw dice of their own.
enum : uint64_t {
    k_sky = 1,
    k_clouds,
    k_sun_x,
    k_sun_y,
    k_sun_size,
    k_peaks,
    k_peak_height,
    k_rock,
    k_land,
    k_relief,
    k_grain,
    k_road,
    k_bend,
    k_wall,
    k_floor,
    k_frame_x,
    k_frame_size,
    k_frame,
    k_table,
    k_light_x,
    k_light_y,
    k_first,
    k_second,
    k_third,
    k_leaf
};

Rgb times(const Rgb& rgb, double gain) {
    return {rgb[0] * gain, rgb[1] * gain, rgb[2] * gain};
}

Tensor mix(const Tensor& a, const Tensor& b, const Tensor& share) {
    return a + (b - a) * share;
}

double brightness(Sky sky) {
    return std::array<double, 4>{1.0, 0.8, 0.32, 0.85}[static_cast<size_t>(sky)];
}

void paint_sky(Layer& layer) {
    static const std::array<std::array<Rgb, 2>, 4> gradients = {
        {{{{0.30, 0.55, 0.90}, {0.76, 0.87, 0.96}}},
         {{{0.34, 0.24, 0.46}, {0.98, 0.60, 0.28}}},
         {{{0.03, 0.04, 0.13}, {0.12, 0.16, 0.33}}},
         {{{0.54, 0.56, 0.60}, {0.78, 0.79, 0.80}}}}};
    const auto end = [&](size_t which) {
        return layer.colour([&](const Scene& scene) {
            auto dice = Layer::dice(scene, k_sky + 1000 * which);
            return varied(gradients[static_cast<size_t>(scene.sky)][which], 0.035, dice);
        });
    };
    const auto horizon = layer.number([](const Scene& scene) { return scene.horizon; });
    const auto depth = (layer.canvas.y / horizon).clamp(0, 1);
    layer.canvas.picture = mix(end(0), end(1), depth).expand_as(layer.canvas.picture).contiguous();
    // Sun or moon with a glow.
    const auto shines = layer.number([](const Scene& scene) { return scene.sun ? 1.0 : 0.0; });
    const auto aspect = static_cast<double>(layer.canvas.picture.size(3)) /
                        static_cast<double>(layer.canvas.picture.size(2));
    const auto dx = layer.canvas.x - layer.drawn(k_sun_x, 0.1, 0.9 * aspect);
    const auto dy = layer.canvas.y - layer.drawn(k_sun_y, 0.15, 0.95) * horizon;
    const auto radius = layer.drawn(k_sun_size, 0.04, 0.1);
    const auto distance = (dx.square() + dy.square()).sqrt() - radius;
    const auto disc = layer.colour([](const Scene& scene) {
        return scene.sky == Sky::night ? Rgb{0.93, 0.93, 0.88} : Rgb{1.0, 0.95, 0.76};
    });
    const auto halo = (distance.clamp_min(0) / (radius * -1.2)).exp() * 0.55;
    layer.blend(disc, torch::maximum(halo, layer.inside(distance)) * shines);
    // Clouds thin out towards the horizon.
    const auto cloudy = layer.number([](const Scene& scene) { return scene.clouds ? 0.85 : 0.0; });
    const auto cover = smoothstep(layer.texture(k_clouds, {.base = 2, .stretch = 1.8}), 0.45, 0.8);
    const auto cloud = layer.colour([](const Scene& scene) {
        return scene.sky == Sky::blue
                   ? Rgb{0.95, 0.95, 0.97}
                   : (scene.sky == Sky::sunset ? Rgb{0.93, 0.62, 0.52}
                                               : times({0.7, 0.72, 0.78}, brightness(scene.sky)));
    });
    layer.blend(cloud, cover * cloudy * (1.1 - depth).clamp_(0, 1));
}

void paint_mountains(Layer& layer) {
    const auto there = layer.number([](const Scene& scene) { return scene.mountains ? 1.0 : 0.0; });
    const auto horizon = layer.number([](const Scene& scene) { return scene.horizon; });
    const auto rise = layer.drawn(k_peak_height, 0.05, 0.16);
    const auto top = horizon - rise * (1.2 + layer.line(k_peaks, 1.1, /*ridged=*/true));
    const auto rock = layer.colour([](const Scene& scene) {
        auto dice = Layer::dice(scene, k_rock);
        return times(varied({0.44, 0.44, 0.52}, 0.07, dice), brightness(scene.sky));
    });
    const auto grain = layer.texture(k_rock, {.base = 6, .octaves = 4});
    const auto haze = ((layer.canvas.y - top) / (horizon - top + 0.02)).clamp(0, 1) * 0.25;
    layer.blend(rock * (0.7 + 0.6 * grain) + haze * 0.5, layer.below(top) * there);
}

/// Two colours of the ground of a place, dark and light.
std::array<Rgb, 2> ground_colours(const Scene& scene) {
    auto dice = Layer::dice(scene, k_land);
    const auto pick = [&]() -> std::array<Rgb, 2> {
        switch (scene.place) {
            case Place::hills:
                return {{{0.16, 0.38, 0.12}, {0.42, 0.64, 0.28}}};
            case Place::field:
                return {{{0.40, 0.40, 0.14}, {0.72, 0.70, 0.34}}};
            case Place::desert:
                return {{{0.66, 0.50, 0.28}, {0.90, 0.76, 0.52}}};
            case Place::snow:
                return {{{0.76, 0.80, 0.88}, {0.95, 0.96, 0.98}}};
            case Place::street:
                return {{{0.42, 0.42, 0.43}, {0.62, 0.61, 0.60}}};
            default:
                return {{{0.12, 0.32, 0.52}, {0.42, 0.62, 0.78}}};
        }
    };
    const auto pair = pick();
    const double light = brightness(scene.sky);
    const Rgb shift = varied({0.5, 0.5, 0.5}, 0.03, dice);
    std::array<Rgb, 2> result;
    for (size_t k = 0; k < 2; ++k) {
        for (size_t c = 0; c < 3; ++c) {
            result[k][c] = std::clamp((pair[k][c] + shift[c] - 0.5) * light, 0.0, 1.0);
        }
        if (scene.sky == Sky::sunset) {
            result[k] = {result[k][0] * 1.15, result[k][1] * 0.9, result[k][2] * 0.85};
        }
    }
    return result;
}

void paint_ground(Layer& layer) {
    const auto horizon = layer.number([](const Scene& scene) { return scene.horizon; });
    const auto waviness = layer.number([](const Scene& scene) {
        const bool flat = scene.place == Place::sea || scene.place == Place::street;
        return flat ? 0.0 : (scene.place == Place::hills ? 0.06 : 0.025);
    });
    const auto top = horizon + waviness * layer.line(k_relief, 0.8, /*ridged=*/false);
    const auto near = ((layer.canvas.y - horizon) / (1.0 - horizon)).clamp(0, 1);
    const bool sea = layer.scenes.front().place == Place::sea;
    const auto grain = layer.texture(
        k_grain, sea ? FractalShape{.base = 10, .octaves = 4, .gain = 0.7, .stretch = 5}
                     : FractalShape{.base = 4, .octaves = 5, .gain = 0.6, .stretch = 1.8});
    const auto rough = layer.drawn(k_grain, 0.15, 1.0);
    const auto dark = layer.colour([](const Scene& scene) { return ground_colours(scene)[0]; });
    const auto light = layer.colour([](const Scene& scene) { return ground_colours(scene)[1]; });
    const auto share = 0.55 + (grain - 0.5) * rough * 1.6 - 0.25 * (near - 0.5) +
                       (sea ? 0.0 : 0.6) * (near - 0.5) * 0.3;
    layer.blend(mix(dark, light, share.clamp(0, 1)), layer.below(top));
}

void paint_soft_light(Layer& layer) {
    const auto slope = (layer.canvas.x - 0.6) * layer.drawn(k_light_x, -0.3, 0.3) +
                       (layer.canvas.y - 0.5) * layer.drawn(k_light_y, -0.35, 0.35);
    layer.canvas.picture = layer.canvas.picture * (1 + slope);
}

}  // namespace

void paint_landscape(Layer& layer) {
    paint_sky(layer);
    paint_mountains(layer);
    paint_ground(layer);
}

void paint_street(Layer& layer) {
    paint_sky(layer);
    paint_ground(layer);
    // The road narrows towards a point on the horizon; dashes get shorter with the distance.
    const auto horizon = layer.number([](const Scene& scene) { return scene.horizon; });
    const auto depth = ((layer.canvas.y - horizon) / (1.02 - horizon)).clamp(1e-3, 1);
    const auto middle =
        layer.drawn(k_road, 0.35, 1.0) + (depth - 1) * layer.drawn(k_bend, -0.5, 0.5);
    const auto half = depth * layer.drawn(k_road + 500, 0.35, 0.8) + 0.01;
    const auto across = (layer.canvas.x - middle).abs();
    const auto ground = layer.below(horizon);
    const auto asphalt = layer.colour([](const Scene& scene) {
        auto dice = Layer::dice(scene, k_road + 501);
        return times(varied({0.30, 0.30, 0.32}, 0.04, dice), brightness(scene.sky));
    });
    const auto paint = layer.colour([](const Scene& scene) {
        return times({0.90, 0.89, 0.84}, brightness(scene.sky));
    });
    layer.blend(asphalt, layer.inside(across - half) * ground);
    layer.blend(paint, layer.inside((across - half * 0.92).abs() - half * 0.03) * ground *
                           layer.chance(k_road + 502, 0.7));
    const auto dash = smoothstep((2.5 / depth).sin(), -0.2, 0.2);
    layer.blend(paint, layer.inside(across - half * 0.035) * dash * ground);
}

void paint_room(Layer& layer) {
    const auto wall = layer.colour([](const Scene& scene) {
        auto dice = Layer::dice(scene, k_wall);
        const double grey = dice.uniform(0.35, 0.88);
        return varied({grey + 0.03, grey, grey - 0.05}, 0.05, dice);
    });
    const auto floor = layer.colour([](const Scene& scene) {
        auto dice = Layer::dice(scene, k_floor);
        const double light = dice.uniform(0.4, 1.3);
        return varied({0.52 * light, 0.38 * light, 0.27 * light}, 0.05, dice);
    });
    const auto horizon = layer.number([](const Scene& scene) { return scene.horizon; });
    layer.canvas.picture = wall.expand_as(layer.canvas.picture).contiguous();
    paint_soft_light(layer);
    // A window or a picture in a frame.
    const auto dx = (layer.canvas.x - layer.drawn(k_frame_x, 0.1, 1.4)).abs();
    const auto dy = (layer.canvas.y - horizon + layer.drawn(k_frame_x + 500, 0.3, 0.45)).abs();
    const auto half = layer.drawn(k_frame_size, 0.08, 0.2);
    const auto frame = torch::maximum(dx - half, dy - half * 0.8);
    const auto view = layer.colour([](const Scene& scene) {
        auto dice = Layer::dice(scene, k_frame);
        return dice.chance(0.5) ? Rgb{0.82, 0.91, 0.97} : varied({0.5, 0.5, 0.5}, 0.2, dice);
    });
    const auto there = layer.chance(k_frame + 500, 0.6);
    layer.blend(wall * 0.5 + 0.35, layer.inside(frame - 0.018) * there);
    layer.blend(view, layer.inside(frame) * there);
    // Floor with boards, and the shadow line where it meets the wall.
    const auto grain = layer.texture(k_floor, {.base = 5, .octaves = 4, .gain = 0.6, .stretch = 4});
    const auto near = ((layer.canvas.y - horizon) / (1.0 - horizon)).clamp(0, 1);
    layer.blend(floor * (0.75 + 0.3 * grain + 0.2 * near), layer.below(horizon));
    layer.blend(wall * 0.35, layer.inside((layer.canvas.y - horizon).abs() - 0.006) * 0.7);
    // A table: top and one leg, dark wood.
    const auto table_x = (layer.canvas.x - layer.drawn(k_table, 0.2, 1.2)).abs();
    const auto table_y = layer.canvas.y - horizon - 0.02;
    const auto top = torch::maximum(table_x - 0.28, (table_y).abs() - 0.02);
    const auto legs = torch::maximum((table_x - 0.23).abs() - 0.015, (table_y - 0.13).abs() - 0.13);
    layer.blend(floor * 0.55,
                layer.inside(torch::minimum(top, legs)) * layer.chance(k_table + 500, 0.4));
}

void paint_plain(Layer& layer) {
    const auto colour = layer.colour([](const Scene& scene) {
        auto dice = Layer::dice(scene, k_wall);
        return jittered_colour(scene.ground_colour, dice);
    });
    layer.canvas.picture = (colour * 0.93 + 0.01).expand_as(layer.canvas.picture).contiguous();
    paint_soft_light(layer);
}

void paint_leaves(Layer& layer) {
    constexpr uint64_t k_leaves = 48;
    const auto random_colour = [&](uint64_t k) {
        return layer.colour([&](const Scene& scene) {
            auto dice = Layer::dice(scene, k_leaf + 1000 + k);
            // One base tone for the scene keeps half of them low in contrast.
            auto base = Layer::dice(scene, k_leaf);
            const double spread = base.uniform(0.05, 0.3);
            const double tone = base.uniform(0.3, 0.65) + spread * dice.normal();
            return varied({tone, tone, tone}, base.uniform(0.03, 0.2), dice);
        });
    };
    layer.canvas.picture = random_colour(0).expand_as(layer.canvas.picture).contiguous();
    for (uint64_t k = 1; k <= k_leaves; ++k) {
        const auto part = k_leaf + 2000 + 16 * k;
        // Radii with density 1 / r^3 between 0.04 and 0.6.
        const auto radius = layer.number([&](const Scene& scene) {
            const double u = Layer::dice(scene, part).uniform();
            return 0.04 / std::sqrt(1 - u * (1 - 0.0044));
        }) * (1.0 + 2.0 * static_cast<double>(k_leaves - k) / static_cast<double>(k_leaves));
        const auto angle = layer.drawn(part + 1, 0, M_PI);
        const auto dx = layer.canvas.x - layer.drawn(part + 2, -0.1, 1.9);
        const auto dy = layer.canvas.y - layer.drawn(part + 3, -0.1, 1.1);
        const auto u = (dx * angle.cos() + dy * angle.sin()) / radius;
        const auto v =
            (dy * angle.cos() - dx * angle.sin()) / (radius * layer.drawn(part + 4, 0.25, 1.0));
        const auto distance =
            k % 3 == 0 ? torch::maximum(u.abs(), v.abs())
                       : (k % 3 == 1 ? (u.square() + v.square()).sqrt()
                                     : (u.abs() * 0.5 + torch::maximum(v.abs(), u * 0.8)));
        const auto lit = 1 + u.clamp(-1.5, 1.5) * layer.drawn(part + 5, -0.3, 0.3);
        layer.blend(random_colour(k) * lit, layer.inside((distance - 1) * radius * 0.7));
    }
}

void paint_texture(Layer& layer) {
    const auto end = [&](uint64_t part) {
        return layer.colour([&](const Scene& scene) {
            auto dice = Layer::dice(scene, part);
            return varied({0.5, 0.5, 0.5}, 0.24, dice);
        });
    };
    const auto coarse = layer.texture(k_first, {.base = 2, .octaves = 6, .gain = 0.55});
    const auto fine =
        layer.texture(k_second, {.base = 4, .octaves = 6, .gain = 0.7, .stretch = 1.5});
    const auto ground = mix(end(k_first), end(k_second), coarse);
    layer.canvas.picture = mix(ground, end(k_third), smoothstep(fine, 0.4, 0.75));
}

void paint_smooth(Layer& layer) {
    const auto tone = [&](uint64_t part, double deviation) {
        return layer.colour([&](const Scene& scene) {
            auto base = Layer::dice(scene, k_first);
            const double light = base.uniform(0.3, 0.85);
            // Greys, skin or a tint of any hue.
            const double kind = base.uniform();
            const Rgb centre = kind < 0.35
                                   ? Rgb{light, light, light}
                                   : (kind < 0.65 ? Rgb{light, light * 0.78, light * 0.66}
                                                  : varied({light, light, light}, 0.12, base));
            auto dice = Layer::dice(scene, part);
            return varied(centre, deviation, dice);
        });
    };
    const auto coarse = layer.texture(k_first, {.base = 1, .octaves = 2, .gain = 0.4});
    layer.canvas.picture = mix(tone(k_second, 0.08), tone(k_third, 0.08), coarse);
    // A few large bodies out of focus.
    for (uint64_t k = 0; k < 4; ++k) {
        const auto part = k_leaf + 16 * k;
        const auto radius = layer.drawn(part, 0.1, 0.5);
        const auto dx = (layer.canvas.x - layer.drawn(part + 1, 0.0, 1.6)) / radius;
        const auto dy = (layer.canvas.y - layer.drawn(part + 2, 0.0, 1.0)) /
                        (radius * layer.drawn(part + 3, 0.6, 1.6));
        const auto soft = layer.drawn(part + 4, 0.02, 0.5);
        const auto alpha = ((1 - (dx.square() + dy.square()).sqrt()) / soft + 0.5).clamp_(0, 1);
        layer.blend(tone(part + 5, 0.15), alpha);
    }
}

void paint_backdrop(Canvas& canvas, const std::vector<Scene>& scenes) {
    std::map<Place, std::vector<int64_t>> groups;
    for (size_t i = 0; i < scenes.size(); ++i) {
        groups[scenes[i].place].push_back(static_cast<int64_t>(i));
    }
    for (const auto& [place, indices] : groups) {
        const auto rows = torch::tensor(indices, torch::kInt64).to(canvas.picture.device());
        Layer layer{canvas.chosen(rows), {}};
        for (const auto index : indices) {
            layer.scenes.push_back(scenes[index]);
        }
        switch (place) {
            case Place::street:
                paint_street(layer);
                break;
            case Place::room:
                paint_room(layer);
                break;
            case Place::plain:
                paint_plain(layer);
                break;
            case Place::leaves:
                paint_leaves(layer);
                break;
            case Place::texture:
                paint_texture(layer);
                break;
            case Place::smooth:
                paint_smooth(layer);
                break;
            default:
                paint_landscape(layer);
        }
        canvas.paste(rows, layer.canvas);
    }
}

}  // namespace weft
